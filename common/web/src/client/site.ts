/**
 * One site as this client sees it: what is shown, which ways are open, and what time it is there. Fed by the paths,
 * read by everybody else. What is shown never goes back: the links' shared `Positions` drop what is older.
 */
import { signal, type Signal } from '@preact/signals-core';
import type { Connection } from './connection';
import { asError, PlugsideError, telling } from './errors';
import { apply, emptyView, viewOf } from './fold';
import type { FactMessage, Granted, Presence, RawRecord, Role, SiteAccess, Snapshot, View } from './generated';
import { Alarm } from './pace';
import type { Positions } from './positions';
import type { Kept, SiteEntry } from './store';
import { rotated, type Rotation } from './rotation';
import { placed, succeeded } from './succession';
import type { SiteState, Way, WayState } from './types';

/** Addresses and certificates kept for one box. */
const ADDRESSES_MAX = 8;
const CERTIFICATES_MAX = 64;

/** One way to a site. */
export class Path {
  connection: Connection | null = null;
  failure: PlugsideError | null = null;
  /** Attempts begun so far, and the newest one that has failed. */
  attempts = 0;
  failed = 0;
  /** The other side is there, and does not serve this site to us. */
  unwelcome = false;
  wake = new Alarm();

  constructor(
    readonly way: Way,
    public known: boolean,
  ) {}

  /** Its connection, unless that has ended already. */
  get open(): Connection | null {
    return this.connection && !this.connection.fault ? this.connection : null;
  }

  get state(): WayState {
    return { known: this.known, open: this.open !== null, failure: this.open ? null : this.failure };
  }
}

export interface SiteHooks {
  /** Store what was learnt. */
  readonly store: (entry: SiteEntry) => void;
  readonly positions: Positions;
}

export class Site {
  readonly state: Signal<SiteState>;
  readonly lan: Path;
  readonly cloud: Path;
  /** Called when a way opens, fails or closes, or the cloud tells of the box. */
  readonly listeners = new Set<() => void>();
  /** How many want the cloud at hand although the LAN is open. */
  cloudWanted = 0;
  online = true;

  private view: View;
  private shown = false;
  private copy = false;
  private asOfMs: number | null = null;
  private clock = 'synced';
  /** What to add to `performance.now()` for site time, as the box said, and as the cloud said. */
  private boxTime: number | null = null;
  private cloudTime: number | null = null;
  private gone = false;
  private renewing: (() => void) | null = null;

  constructor(
    public entry: SiteEntry,
    private readonly hooks: SiteHooks,
    kept: Kept | undefined,
  ) {
    this.view = kept?.view ?? emptyView(entry.site);
    if (kept) {
      this.shown = true;
      this.copy = !kept.fromBox;
      this.asOfMs = kept.asOf;
      hooks.positions.seed(entry.site, kept.view, kept.fromBox);
    }
    this.lan = new Path('lan', entry.box !== '');
    this.cloud = new Path('cloud', entry.cloudUrl !== '' && entry.cloudKey !== '');
    this.state = signal(this.picture());
  }

  get id(): string {
    return this.entry.site;
  }

  // --- ways -----------------------------------------------------------------------------------------------

  /** The ways that are known, the preferred one first. */
  get paths(): readonly Path[] {
    return [this.lan, this.cloud].filter((path) => path.known);
  }

  get openLinks(): readonly Connection[] {
    return this.paths.flatMap((path) => path.open ?? []);
  }

  up(path: Path, connection: Connection): void {
    path.connection = connection;
    path.failure = null;
    path.unwelcome = false;
    const offset = connection.serverTimeMs() - performance.now();
    if (path.way === 'lan') {
      this.boxTime = offset;
      this.clock = connection.clock;
    } else {
      this.cloudTime = offset;
    }
    this.changed();
  }

  down(path: Path, why: PlugsideError): void {
    path.unwelcome = false;
    if (!path.connection) return;
    const was = this.present;
    path.connection = null;
    path.failure = why;
    if (was) this.asOfMs = this.now();
    this.changed();
  }

  fail(path: Path, why: PlugsideError): void {
    path.failure = why;
    path.failed = path.attempts;
    this.changed();
  }

  /** Try closed ways now. Returns what `hopeless` wants to know. */
  kick(): ReadonlyMap<Path, number> {
    for (const path of this.paths) if (!path.open) path.wake.ring();
    return new Map(this.paths.map((path) => [path, path.attempts]));
  }

  /** Why no way can be had: each was tried after `since` and has failed. Null while there is hope. */
  hopeless(since: ReadonlyMap<Path, number>, spent: ReadonlySet<Connection>, via?: Way): PlugsideError | null {
    const paths = this.paths.filter((path) => via === undefined || path.way === via);
    for (const path of paths) {
      if (path.open) {
        if (!spent.has(path.open)) return null;
      } else if (!path.unwelcome && path.failed <= (since.get(path) ?? 0)) {
        return null;
      }
    }
    return this.failure(paths);
  }

  /** What tells most about why there is no way. */
  failure(paths: readonly Path[] = this.paths): PlugsideError {
    if (paths.length === 0) return new PlugsideError('no_path', 'this device knows no such way to the site');
    return telling(paths.flatMap((path) => path.failure ?? []));
  }

  /** Have the cloud at hand as well, until the returned function is called. */
  wantCloud(): () => void {
    this.cloudWanted += 1;
    this.tellListeners();
    let once = true;
    return () => {
      if (once) this.cloudWanted -= 1;
      once = false;
      this.tellListeners();
    };
  }

  /** The box could not have the grant renewed: have the cloud at hand until it is. */
  renewElsewhere(): void {
    this.renewing ??= this.wantCloud();
  }

  // --- what is shown --------------------------------------------------------------------------------------

  take(push: Snapshot | FactMessage | Presence): void {
    if (push.kind === 'presence') {
      this.heardOnline(push.online);
      return;
    }
    if (push.kind === 'snapshot') {
      if (!this.hooks.positions.admitsSnapshot(this.id, push, push.source === 'edge')) return;
      this.view = viewOf(push);
      this.copy = push.source !== 'edge';
      this.shown = true;
      const at = Date.parse(push.at);
      if (!this.copy && Number.isFinite(at)) this.boxTime = at - performance.now();
      // A copy is as old as the cloud says; what the box itself tells is the present.
      this.asOfMs = (this.now() ?? at) - Math.max(0, push.age_ms);
    } else {
      if (!this.hooks.positions.admitsFact(this.id, push)) return;
      this.view = folded(this.view, push);
      this.hear(push.record.at);
      this.asOfMs = this.now();
    }
    this.changed();
  }

  private heardOnline(online: boolean): void {
    const was = this.present;
    if (online === this.online && !(online && this.copy)) return;
    this.online = online;
    if (online) this.copy = false;
    if (was && !online) this.asOfMs = this.now();
    this.changed();
  }

  /** A box that answers from before what was shown has lost that (its card was put back): begin anew. */
  startOver(): void {
    this.hooks.positions.forget(this.id);
  }

  /** What is shown is the present. */
  private get present(): boolean {
    if (!this.shown) return false;
    if (this.lan.open) return true;
    return this.cloud.open !== null && this.online && !this.copy;
  }

  private hear(at: string): void {
    const offset = Date.parse(at) - performance.now();
    // A fact's time has passed already: it can only show that our idea of the time is behind.
    if (Number.isFinite(offset) && this.boxTime !== null) this.boxTime = Math.max(offset, this.boxTime);
  }

  /** Site time: the box's own statement, else what the cloud thinks it is; null = not heard yet. */
  now(): number | null {
    const offset = this.boxTime ?? this.cloudTime;
    return offset === null ? null : Math.round(performance.now() + offset);
  }

  private picture(): SiteState {
    const { entry } = this;
    const live = this.present;
    const denied = this.paths.find((path) => path.failure && DENIED.has(path.failure.code))?.failure ?? null;
    return {
      id: entry.site,
      name: entry.name || entry.site,
      role: entry.role as Role,
      principal: entry.principal,
      view: this.view,
      shown: this.shown,
      live,
      asOf: live ? (this.now() ?? this.asOfMs) : this.asOfMs,
      path: this.openLinks[0]?.path ?? null,
      lan: this.lan.state,
      cloud: this.cloud.state,
      online: this.online,
      clock: this.clock,
      denied: this.openLinks.length === 0 ? denied : null,
      cloudUrl: entry.cloudUrl,
      zone: entry.zone ?? '',
      owner: entry.owner ?? false,
      graceUntil: this.graceUntil,
    };
  }

  private get graceUntil(): number | null {
    const access = this.openLinks.map((link) => link.sites.get(this.id)).find((told) => told?.grace);
    const until = access ? Date.parse(access.expires_at) : NaN;
    return Number.isFinite(until) ? until : null;
  }

  private changed(): void {
    if (this.gone) return;
    this.state.value = this.picture();
    this.tellListeners();
  }

  private tellListeners(): void {
    for (const listener of [...this.listeners]) listener();
  }

  /** What to keep for a start without any way; null when nothing was shown. */
  keepsake(shape: number): Kept | null {
    if (!this.shown) return null;
    const asOf = this.present ? (this.now() ?? this.asOfMs) : this.asOfMs;
    return asOf === null ? null : { site: this.id, shape, view: this.view, asOf, fromBox: !this.copy };
  }

  // --- what is learnt about finding it --------------------------------------------------------------------

  /** What a welcome says about the site. Another box is believed on the pinned cloud's word only. */
  async learnAccess(access: SiteAccess, from: Way, lastGood = '', certificates: readonly string[] = []): Promise<void> {
    const known = this.entry;
    const entry = await this.placed(access, from);
    if (!entry) return; // nobody we trust says so: join again if the box was replaced
    // Something was learnt meanwhile, of the box's key perhaps: judged again by that.
    if (this.entry !== known) return this.learnAccess(access, from, lastGood, certificates);
    const addresses = access.addresses.length ? access.addresses.slice(0, ADDRESSES_MAX) : entry.addresses;
    // Where a site has a cloud, its operator has named it there; the box has the name it was set up with.
    const named = from === 'lan' && entry.cloudUrl ? '' : access.name;
    const moved = entry.box !== this.entry.box || addresses.join() !== this.entry.addresses.join();
    const before = this.entry.hinted.length;
    this.put({
      ...entry,
      name: named || entry.name || access.name,
      role: access.role || entry.role,
      principal: access.principal || entry.principal,
      box: entry.box || access.key,
      addresses,
      lastGood: lastGood || entry.lastGood,
      zone: access.zone || entry.zone || '',
      owner: access.owner,
      ...(from === 'lan'
        ? { proven: certificates.slice(0, CERTIFICATES_MAX), hinted: [], boxLists: access.revocations }
        : { hinted: access.certificates.slice(0, CERTIFICATES_MAX), cloudLists: access.revocations }),
    });
    this.lan.known = this.entry.box !== '';
    if (from === 'cloud') this.online = access.online;
    if (moved || (before === 0 && this.entry.hinted.length > 0)) this.lan.wake.ring();
    this.changed();
  }

  /** The entry with the box that the site has by this access; null when nobody says so who is trusted. */
  private async placed(access: SiteAccess, from: Way): Promise<SiteEntry | null> {
    const { entry } = this;
    if (!access.key || !entry.box || access.key === entry.box) {
      return access.succession && entry.box && from === 'cloud' ? placed(entry, access) : entry;
    }
    try {
      const moved = await succeeded(entry, access);
      this.lan.open?.end(new PlugsideError('shutting_down', 'the site has another box'));
      return moved;
    } catch {
      // A cloud that has not heard yet that the box has another key says nothing wrong beside.
      return entry.former?.includes(access.key) ? entry : null;
    }
  }

  /** The box has proved another key than the pinned one, and how it came to it. */
  learnRotated(chain: readonly Rotation[]): void {
    const last = chain.at(-1);
    if (last && last.number > (this.entry.boxNumber ?? 0)) this.put(rotated(this.entry, chain));
  }

  /** A renewed grant. From the box itself also which cloud it belongs to. */
  learnGrant(granted: Granted, from: Way): void {
    const cloud =
      from === 'lan' && granted.cloud && granted.cloud_key
        ? { cloudUrl: granted.cloud, cloudKey: granted.cloud_key }
        : {};
    this.put({ ...this.entry, grant: granted.grant, ...cloud });
    this.renewing?.();
    this.renewing = null;
    this.cloud.known = this.entry.cloudUrl !== '' && this.entry.cloudKey !== '';
  }

  /** Pins that the box does not name as its own are given up. */
  keepHints(named: readonly string[]): void {
    this.put({ ...this.entry, hinted: this.entry.hinted.filter((pin) => named.includes(pin)) });
  }

  private put(entry: SiteEntry): void {
    const before = JSON.stringify(this.entry);
    this.entry = entry;
    if (JSON.stringify(entry) !== before && !this.gone) this.hooks.store(entry);
  }

  /** Another tab has learnt something, or this device has joined again: links of old rights end. */
  replace(entry: SiteEntry, rejoined: boolean): void {
    this.entry = entry;
    this.lan.known = entry.box !== '';
    this.cloud.known = entry.cloudUrl !== '' && entry.cloudKey !== '';
    if (rejoined) {
      this.hooks.positions.whole(this.id);
      for (const link of this.openLinks) link.end(new PlugsideError('shutting_down', 'joined again'));
      this.kick();
    }
    this.changed();
  }

  /** The site was removed from this device. */
  leave(): void {
    this.gone = true;
    for (const link of this.openLinks) link.end(new PlugsideError('shutting_down', 'removed from this device'));
  }
}

/** Refusals that say: this device has no right here any more. */
const DENIED: ReadonlySet<string> = new Set(['grant_expired', 'revoked', 'bad_grant', 'unknown_site', 'bad_signature']);

function folded(view: View, push: FactMessage): View {
  const record = push.record as RawRecord;
  try {
    return apply(view, push.epoch, push.seq, record);
  } catch (unreadable) {
    throw new PlugsideError('protocol', `fact ${push.seq}: ${asError(unreadable).message}`);
  }
}
