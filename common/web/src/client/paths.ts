/**
 * The paths: keep a link to each box on the LAN, and one link to each cloud for all its sites.
 *
 *     LAN     known addresses raced by WebTransport (or WebSocket, where the box serves this page)
 *     cloud   150 ms later, and only while a site has no LAN link or somebody wants the cloud; one for all its sites
 *
 * Whoever answers has to be the one that was pinned at joining. Each site is followed once: on the LAN where that is
 * open, else through the cloud.
 */
import { unb64 } from './bytes';
import { Connection, type Push } from './connection';
import { boxAttempts, race, type Shared } from './dialling';
import { asError, fromWire, PlugsideError } from './errors';
import { authenticate, UntrustedPins, type Opened } from './handshake';
import { linkUrl } from './link';
import { Alarm, retryDelayMs } from './pace';
import type { Positions } from './positions';
import type { Path, Site } from './site';
import { lists, pinnedAs } from './store';

/** Grants in the first frame: the server reads 16 KiB before it knows us, and base64 and a key are in it too. */
const FIRST_GRANTS_CHARS = 12 * 1024;

/** Whether a grant of our own is past half its life. */
export function renewalDue(grant: string, nowMs: number): boolean {
  try {
    const [, payload = ''] = grant.split('.');
    const { iat, exp } = JSON.parse(new TextDecoder().decode(unb64(payload))) as { iat: number; exp: number };
    return !(nowMs < ((iat + exp) * 1000) / 2);
  } catch {
    return true;
  }
}

/** What both paths do: try, keep, and try again. */
abstract class Keeper {
  protected stopped = false;
  protected link: Connection | null = null;
  abstract readonly wake: Alarm;

  constructor(protected readonly shared: Shared) {}

  /** Until `stop`. */
  async run(): Promise<void> {
    let failures = 0;
    while (!this.stopped) {
      await this.needed();
      if (this.stopped) return;
      this.begin();
      let livedMs = 0;
      try {
        livedMs = await this.serve(await this.find());
      } catch (failed) {
        this.failed(asError(failed));
      }
      failures = livedMs >= this.shared.pace.healthyMs ? 0 : failures + 1;
      if (this.stopped) return;
      await this.wake.wait(retryDelayMs(this.shared.pace, failures, Math.random()));
    }
  }

  private async serve(opened: Opened): Promise<number> {
    const began = performance.now();
    if (this.stopped) {
      opened.link.close();
      return 0;
    }
    const link = new Connection(opened, this.shared.key, this.shared.pace, (push) => this.pushed(push));
    this.link = link;
    try {
      await this.up(link);
      link.run();
      void this.renewals(link);
    } catch (failed) {
      link.end(asError(failed));
    }
    const why = await link.closed;
    this.link = null;
    this.down(why);
    return performance.now() - began;
  }

  /** Renew what is past half its life, or is not welcome any more; again and again while the link lives. */
  private async renewals(link: Connection): Promise<void> {
    while (!link.fault) {
      for (const site of this.sites()) {
        if (link.fault) return;
        if (!link.sites.has(site.id) || renewalDue(site.entry.grant, link.serverTimeMs())) {
          await this.renewOne(link, site);
        }
      }
      const pause = new Promise((resolve) => setTimeout(resolve, this.shared.pace.renewEveryMs));
      await Promise.race([pause, link.closed]);
    }
  }

  private async renewOne(link: Connection, site: Site): Promise<void> {
    try {
      site.learnGrant(await link.renew(site.entry.grant), link.path);
    } catch (refused) {
      const why = asError(refused);
      if (!link.sites.has(site.id) && !link.fault) this.unwelcome(site, why);
      // The box has no way to the cloud, which alone renews this; perhaps this device has one.
      else if (why.code === 'not_permitted' || why.code === 'cloud_unreachable') site.renewElsewhere();
    }
  }

  /** Ask an open link whether the other side is still there. */
  doubt(): void {
    this.link?.doubt();
  }

  stop(): void {
    this.stopped = true;
    this.link?.end(new PlugsideError('shutting_down', 'this client was closed'));
    this.wake.ring();
  }

  protected needed(): Promise<void> {
    return Promise.resolve();
  }

  protected abstract sites(): readonly Site[];
  protected abstract begin(): void;
  protected abstract find(): Promise<Opened>;
  protected abstract failed(why: PlugsideError): void;
  protected abstract up(link: Connection): Promise<void>;
  protected abstract down(why: PlugsideError): void;
  protected abstract pushed(push: Push): void;
  protected unwelcome(_site: Site, _refused: PlugsideError): void {}
}

/** The link to one site's box. */
export class LanPath extends Keeper {
  private address = '';
  private readonly path: Path;

  constructor(
    shared: Shared,
    private readonly site: Site,
  ) {
    super(shared);
    this.path = site.lan;
  }

  get wake(): Alarm {
    return this.path.wake;
  }

  protected sites(): readonly Site[] {
    return [this.site];
  }

  private attempts() {
    const { entry } = this.site;
    const addresses = [...new Set([entry.lastGood, ...entry.addresses])].filter(Boolean);
    const shown = { key: this.shared.key, grants: [entry.grant], carried: lists(entry), pinned: pinnedAs(entry) };
    const own = entry.cloudUrl !== '' && originOf(entry.cloudUrl) === this.shared.origin;
    // The page of a cloud is not the box's: nothing is asked of it as if it were.
    const shared = own ? { ...this.shared, origin: '' } : this.shared;
    return boxAttempts(shared, entry.box, addresses, entry, shown);
  }

  protected override async needed(): Promise<void> {
    while (!this.stopped && !(this.path.known && this.shared.mayDialLan() && this.attempts().length > 0)) {
      // Whoever waits for this way is told that there is nothing to wait for.
      this.begin();
      this.site.fail(this.path, this.path.failure ?? new PlugsideError('no_path', 'it is not to be tried now'));
      await this.path.wake.wait(null);
    }
  }

  protected begin(): void {
    this.path.attempts += 1;
  }

  protected async find(): Promise<Opened> {
    const attempts = this.attempts();
    const { at, opened } = await race(attempts.map((attempt) => attempt.open));
    this.address = attempts[at]?.address ?? '';
    // Kept at once: whoever has the key before this one is not to be believed again.
    this.site.learnRotated(opened.rotated);
    return opened;
  }

  protected failed(why: PlugsideError): void {
    if (why instanceof UntrustedPins) this.site.keepHints(why.named);
    this.site.fail(this.path, why);
  }

  protected async up(link: Connection): Promise<void> {
    const { site } = this;
    for (const granted of link.granted) site.learnGrant(granted, 'lan');
    if (!link.sites.has(site.id)) throw new PlugsideError('unknown_site');
    await this.learn(link);
    followed(link, this.shared.positions, [site.id]);
    this.path.connection = link;
    site.up(this.path, link);
  }

  /** What the box's welcome says, when it is said again too: new lists to carry, a right in its grace. */
  private async learn(link: Connection): Promise<void> {
    const access = link.sites.get(this.site.id);
    if (access) await this.site.learnAccess(access, 'lan', this.address, link.certificates);
  }

  protected down(why: PlugsideError): void {
    this.site.down(this.path, why);
  }

  protected pushed(push: Push): void {
    if (push.kind === 'refused') throw fromWire(push.code, push.message, push.hint);
    if (push.kind === 'welcome') {
      if (this.link) void this.learn(this.link);
      return;
    }
    if (push.site !== this.site.id) return;
    if (push.kind === 'snapshot' && this.shared.positions.hasLost(this.site.id, push)) this.site.startOver();
    this.site.take(push);
  }
}

/** Follow sites, from where this page has shown them. */
function followed(link: Connection, positions: Positions, sites: readonly string[]): void {
  const since = sites.flatMap((site) => {
    const at = positions.since(site);
    return at ? [[site, [at.epoch, at.seq]] as const] : [];
  });
  link.follow(sites, Object.fromEntries(since));
}

/** The one link to a cloud, for all the sites that belong to it. */
export class CloudPath extends Keeper {
  readonly wake = new Alarm();
  private readonly members = new Map<string, Site>();
  private readonly change = new Alarm();
  private readonly ring = () => this.change.ring();
  private followedNow = '';

  constructor(
    shared: Shared,
    readonly url: string,
    readonly cloud: string,
  ) {
    super(shared);
  }

  protected sites(): readonly Site[] {
    return [...this.members.values()];
  }

  add(site: Site): void {
    this.members.set(site.id, site);
    site.cloud.wake = this.wake;
    site.listeners.add(this.ring);
    if (this.link) void this.link.show([site.entry.grant]).catch(() => {});
    this.ring();
  }

  /** Returns whether a site is left. */
  remove(site: Site): boolean {
    this.members.delete(site.id);
    site.listeners.delete(this.ring);
    this.ring();
    return this.members.size > 0;
  }

  private get wanted(): boolean {
    return this.sites().some((site) => !site.lan.open || site.cloudWanted > 0);
  }

  private late = true;

  protected override async needed(): Promise<void> {
    if (this.late) {
      this.late = false;
      await new Promise((resolve) => setTimeout(resolve, this.shared.pace.cloudDelayMs));
    }
    while (!this.stopped && !this.wanted) await this.change.wait(null);
  }

  override stop(): void {
    super.stop();
    this.ring();
  }

  protected begin(): void {
    for (const site of this.sites()) site.cloud.attempts += 1;
  }

  protected async find(): Promise<Opened> {
    const grants = this.sites().map((site) => site.entry.grant);
    const carried = this.sites().flatMap((site) => lists(site.entry));
    const shown = { key: this.shared.key, grants: first(grants), carried };
    const link = await this.shared.dial.socket(linkUrl(this.url), 'cloud');
    return authenticate(link, this.cloud, shown, this.shared.pace.handshakeMs);
  }

  protected failed(why: PlugsideError): void {
    for (const site of this.sites()) site.fail(site.cloud, why);
  }

  protected async up(link: Connection): Promise<void> {
    this.followedNow = '';
    for (const granted of link.granted) this.members.get(granted.site.site)?.learnGrant(granted, 'cloud');
    let more = this.sites().map((site) => site.entry.grant);
    more = more.slice(first(more).length);
    while (more.length) {
      const some = first(more);
      await link.show(some);
      more = more.slice(some.length);
    }
    await this.welcomed(link);
    void this.keepFollowing(link);
  }

  /** Which sites this link is good for, as last told. */
  private async welcomed(link: Connection): Promise<void> {
    for (const access of link.sites.values()) {
      const site = this.members.get(access.site);
      if (!site) continue;
      await site.learnAccess(access, 'cloud');
      if (site.cloud.connection !== link) site.up(site.cloud, link);
    }
    this.ring();
  }

  /** Follow the sites that are not on the LAN, as that changes. */
  private async keepFollowing(link: Connection): Promise<void> {
    void link.closed.then(this.ring);
    while (!link.fault) {
      const sites = this.sites()
        .filter((site) => link.sites.has(site.id) && !site.lan.open)
        .map((site) => site.id)
        .sort();
      if (sites.join() !== this.followedNow) {
        followed(link, this.shared.positions, sites);
        this.followedNow = sites.join();
      }
      await this.change.wait(null);
    }
  }

  protected down(why: PlugsideError): void {
    for (const site of this.sites()) site.down(site.cloud, why);
  }

  protected override unwelcome(site: Site, refused: PlugsideError): void {
    site.cloud.unwelcome = true;
    site.fail(site.cloud, refused);
  }

  protected pushed(push: Push): void {
    if (push.kind === 'welcome') {
      if (this.link) void this.welcomed(this.link);
    } else if (push.kind !== 'refused') {
      const site = this.members.get(push.site);
      // A site that is on the LAN by now is told of there.
      if (site && (push.kind === 'presence' || !site.lan.open)) site.take(push);
    }
  }
}

function originOf(url: string): string {
  try {
    return new URL(url).origin;
  } catch {
    return '';
  }
}

/** As many grants as fit into one frame, one at least. */
function first(grants: readonly string[]): readonly string[] {
  let room = FIRST_GRANTS_CHARS;
  const taken: string[] = [];
  for (const grant of grants) {
    room -= grant.length + 3;
    if (taken.length > 0 && room < 0) break;
    taken.push(grant);
  }
  return taken;
}
