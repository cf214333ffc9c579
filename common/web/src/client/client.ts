/**
 * The client: a device's sites, each by the best way there is, as if there were only one (design §11). What a page
 * may ask of it stands in `types.ts`; how it is kept together, here.
 */
import { computed, effect, signal, type ReadonlySignal, type Signal } from '@preact/signals-core';
import { manage, query, until } from './asking';
import { uuid7 } from './bytes';
import { carry } from './courier';
import { DIAL, type Dial, type Shared } from './dialling';
import { encodeCommand, seal } from './envelope';
import { asError, PlugsideError } from './errors';
import { COMMANDS, type CommandArgs, type Name, type Target } from './generated';
import { hostOf, readInvite } from './invite';
import { redeem, taken } from './joining';
import { PACE, type Pace } from './pace';
import { CloudPath, LanPath } from './paths';
import { readable, watchPage } from './page';
import { Permission } from './permission';
import { Positions } from './positions';
import { RunState } from './run';
import { Site } from './site';
import { MemoryStore, openStore, type Kept, type Pending, type SiteEntry, type Store } from './store';
import { Tabs } from './tabs';
import type {
  AppClient,
  AskOptions,
  InviteInfo,
  LocalNetwork,
  Page,
  Run,
  SiteState,
  Trouble,
  Way,
} from './types';

/** Of what is kept of a view; to be raised when its shape changes, so that another build's is not read. */
const SHAPE = 1;
/** How soon what has changed is kept, in ms; at once when the page goes. */
const KEEP_AFTER_MS = 1000;
/** Runs that are told of; the box remembers more. */
const RUNS_MAX = 64;
/** A command's end is asked for so long after it was sent. */
const PENDING_KEPT_MS = 24 * 3_600_000;

export interface ClientOptions {
  readonly store?: Store;
  readonly pace?: Partial<Pace>;
  readonly dial?: Dial;
  /** Where this page comes from; a box may be what serves it. */
  readonly origin?: string;
}

export class Client implements AppClient {
  readonly sites: ReadonlySignal<readonly SiteState[]>;
  readonly runs: ReadonlySignal<readonly Run[]>;
  readonly localNetwork: ReadonlySignal<LocalNetwork>;
  readonly trouble: ReadonlySignal<Trouble>;

  private readonly members: Signal<ReadonlyMap<string, Site>> = signal(new Map());
  private readonly runList: Signal<readonly RunState[]> = signal([]);
  private readonly signals = new Map<string, ReadonlySignal<SiteState | undefined>>();
  private readonly lanPaths = new Map<string, LanPath>();
  private readonly cloudPaths = new Map<string, CloudPath>();
  private readonly watching = new Map<string, () => void>();
  private keeping: ReturnType<typeof setTimeout> | undefined;
  private readonly ends: (() => void)[] = [];
  private closed = false;

  /** Open the device's storage and begin to reach its sites. Rejects for nothing: `trouble` says what lacks. */
  static async open(options: ClientOptions = {}): Promise<Client> {
    let trouble: Trouble = null;
    let store = options.store;
    if (!globalThis.crypto?.subtle || globalThis.isSecureContext === false) trouble = 'insecure';
    try {
      store ??= trouble === null ? await openStore() : new MemoryStore();
      await store.key();
    } catch {
      trouble ??= 'storage';
      store = new MemoryStore();
    }
    const permission = new Permission(() => client.permitted());
    const shared: Shared = {
      key: trouble === 'insecure' ? ({} as Shared['key']) : await store.key(),
      pace: { ...PACE, ...options.pace },
      positions: new Positions(),
      mayDialLan: () => permission.open,
      origin: options.origin ?? globalThis.location?.origin ?? '',
      dial: options.dial ?? DIAL,
    };
    const client: Client = new Client(store, shared, permission, trouble);
    if (trouble !== 'insecure') await client.begin();
    return client;
  }

  private constructor(
    private readonly store: Store,
    private readonly shared: Shared,
    private readonly permission: Permission,
    trouble: Trouble,
    private readonly tabs = new Tabs(),
  ) {
    this.sites = computed(() =>
      [...this.members.value.values()]
        .map((site) => site.state.value)
        .sort((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id)),
    );
    this.runs = this.runList;
    this.localNetwork = permission.value;
    this.trouble = signal(trouble);
  }

  private async begin(): Promise<void> {
    await this.permission.watch();
    const [entries, kept, pending] = await Promise.all([this.store.sites(), this.store.kept(), this.store.pending()]);
    const before = new Map(kept.filter((one) => one.shape === SHAPE).map((one) => [one.site, one]));
    for (const entry of entries) this.add(entry, readable(before.get(entry.site)));
    this.tabs.listen((site) => void this.reload(site));
    this.ends.push(watchPage(() => this.retry(), () => this.keep()));
    for (const one of pending) void this.resume(one);
  }

  private keep(): void {
    clearTimeout(this.keeping);
    this.keeping = undefined;
    for (const site of this.members.value.values()) {
      const kept = site.keepsake(SHAPE);
      if (kept) void this.store.keep(kept).catch(() => {});
    }
  }

  // --- sites ----------------------------------------------------------------------------------------------

  site(id: string): ReadonlySignal<SiteState | undefined> {
    let known = this.signals.get(id);
    if (!known) {
      known = computed(() => this.members.value.get(id)?.state.value);
      this.signals.set(id, known);
    }
    return known;
  }

  siteNow(id: string): number | null {
    return this.members.value.get(id)?.now() ?? null;
  }

  private add(entry: SiteEntry, kept: Kept | undefined): Site {
    const store = (learnt: SiteEntry) => void this.store.learnSite(learnt).catch(() => {});
    const site = new Site(entry, { store, positions: this.shared.positions }, kept);
    this.members.value = new Map(this.members.value).set(site.id, site);
    this.watching.set(
      site.id,
      effect(() => this.observe(site.id, site.state.value)),
    );
    const lan = new LanPath(this.shared, site);
    this.lanPaths.set(site.id, lan);
    void lan.run();
    this.joinCloud(site);
    return site;
  }

  /** What became of our commands, as the site's own state tells it; and that there is something to keep. */
  private observe(site: string, state: SiteState): void {
    this.keeping ??= setTimeout(() => this.keep(), KEEP_AFTER_MS);
    for (const run of this.runList.peek()) {
      const seen = run.site === site ? state.view.commands[run.id] : undefined;
      if (seen) run.observe(seen);
    }
  }

  private joinCloud(site: Site): void {
    const { cloudUrl, cloudKey } = site.entry;
    if (!cloudUrl || !cloudKey) return;
    const name = `${cloudKey} ${cloudUrl}`;
    const known = this.cloudPaths.get(name);
    if (known) {
      known.add(site);
      return;
    }
    const path = new CloudPath(this.shared, cloudUrl, cloudKey);
    this.cloudPaths.set(name, path);
    path.add(site);
    void path.run();
  }

  readInvite(text: string): InviteInfo {
    const invite = readInvite(text);
    const url = invite.urls[0];
    const maker = url === undefined ? (invite.addresses[0] ?? '') : hostOf(url);
    return { maker, expiresMs: invite.expiresMs, local: url === undefined };
  }

  async join(text: string, deviceName: string): Promise<string> {
    const invite = readInvite(text);
    this.refuseTrouble();
    if (invite.urls.length === 0) this.permission.ask();
    const entry = await redeem(this.shared, invite, deviceName);
    await this.takeIn(entry);
    void globalThis.navigator?.storage?.persist?.().catch(() => false);
    return entry.site;
  }

  async access(via: string, site: string): Promise<void> {
    await this.takeIn(taken(this.known(via).entry, await this.manage(via, 'access', { site }, { via: 'cloud' })));
  }

  private async takeIn(entry: SiteEntry): Promise<void> {
    await this.store.putSite(entry);
    this.welcome(entry, true);
    this.tabs.tell(entry.site);
  }

  private welcome(entry: SiteEntry, rejoined: boolean): void {
    const known = this.members.value.get(entry.site);
    if (!known) {
      this.add(entry, undefined);
      return;
    }
    const moved = known.entry.cloudUrl !== entry.cloudUrl || known.entry.cloudKey !== entry.cloudKey;
    if (moved) this.leaveCloud(known);
    known.replace(entry, rejoined);
    if (moved) this.joinCloud(known);
  }

  async forget(site: string): Promise<void> {
    await this.store.removeSite(site);
    this.remove(site);
    this.tabs.tell(site);
  }

  private remove(id: string): void {
    const site = this.members.value.get(id);
    if (!site) return;
    site.leave();
    this.watching.get(id)?.();
    this.lanPaths.get(id)?.stop();
    this.lanPaths.delete(id);
    this.leaveCloud(site);
    this.shared.positions.forget(id);
    const left = new Map(this.members.value);
    left.delete(id);
    this.members.value = left;
  }

  private leaveCloud(site: Site): void {
    for (const [name, path] of this.cloudPaths) {
      if (path.remove(site)) continue;
      path.stop();
      this.cloudPaths.delete(name);
    }
  }

  /** Another tab has joined, left or learnt something. */
  private async reload(site: string): Promise<void> {
    try {
      const entry = (await this.store.sites()).find((one) => one.site === site);
      if (!entry) this.remove(site);
      else this.welcome(entry, true);
    } catch {
      // It is read again when this page is opened the next time.
    }
  }

  // --- asking ---------------------------------------------------------------------------------------------

  async query<T>(site: string, what: string, args = {}, options: AskOptions = {}): Promise<Page<T>> {
    return query<T>(this.known(site), what, args, options);
  }

  async manage<T>(site: string, name: string, args = {}, options: { readonly via?: Way } = {}): Promise<T> {
    return manage<T>(this.known(site), name, args, options.via);
  }

  wantCloud = (site: string): (() => void) => this.members.value.get(site)?.wantCloud() ?? (() => {});

  private known(site: string): Site {
    const known = this.members.value.get(site);
    if (!known) throw new PlugsideError('unknown_site', site);
    return known;
  }

  private refuseTrouble(): void {
    if (this.trouble.value === 'insecure') {
      throw new PlugsideError('bad_settings', '', {
        message: 'This page was not loaded securely, so it can keep no key.',
        hint: 'Open the app at its https:// address.',
      });
    }
  }

  // --- commands -------------------------------------------------------------------------------------------

  command<N extends Name>(site: string, name: N, target: Target, args: CommandArgs[N]): Run {
    const run = new RunState(uuid7(Date.now()), site, name, target, Date.now());
    this.runList.value = [run, ...this.runList.value].slice(0, RUNS_MAX);
    void this.sendNew(run, args as Readonly<Record<string, unknown>>);
    return run;
  }

  private async sendNew(run: RunState, args: Readonly<Record<string, unknown>>): Promise<void> {
    try {
      const site = this.known(run.site);
      // A command's end is counted in the site's own time, so the site has to be heard first.
      await until(site, () => site.openLinks.length > 0 && site.now() !== null, new Set());
      const pending = await this.seal(site, run, args);
      await this.store.putPending(pending);
      await this.carry(site, run, pending);
    } catch (failed) {
      run.refuse(asError(failed), null);
    }
  }

  private async seal(site: Site, run: RunState, args: Readonly<Record<string, unknown>>): Promise<Pending> {
    const { id, name, target, askedMs } = run;
    const expiresMs = (site.now() ?? Date.now()) + COMMANDS[name].ttl_ms;
    const expires = new Date(expiresMs).toISOString();
    const payload = encodeCommand({ site: site.id, id, name, target, args, expires_at: expires });
    const envelope = await seal(payload, this.shared.key);
    return { id, site: site.id, name, target, envelope, expiresMs, askedMs, tab: this.tabs.id };
  }

  private async carry(site: Site, run: RunState, pending: Pending): Promise<void> {
    await carry(site, run, pending, this.shared.pace);
    // What became of it is known, or it never left: nobody asks for it again.
    if (run.stage.value.at !== 'unknown') await this.store.removePending(run.id).catch(() => {});
  }

  /** Learn what became of a command that an earlier page sent: again, under its own id. */
  private async resume(pending: Pending): Promise<void> {
    if (Date.now() - pending.askedMs > PENDING_KEPT_MS) {
      await this.store.removePending(pending.id).catch(() => {});
      return;
    }
    const site = this.members.value.get(pending.site);
    if (!site || !COMMANDS[pending.name] || (await this.tabs.lives(pending.tab))) return;
    const run = new RunState(pending.id, pending.site, pending.name, pending.target, pending.askedMs, true);
    this.runList.value = [...this.runList.value, run].slice(0, RUNS_MAX);
    await this.carry(site, run, pending);
  }

  start(site: string, charger: string, evse?: number): Run {
    return this.command(site, 'start', evse === undefined ? { charger } : { charger, evse }, {});
  }

  stop(site: string, charger: string, session: string): Run {
    return this.command(site, 'stop', this.where(site, charger, session), { session });
  }

  limit(site: string, charger: string, session: string, limitA: number): Run {
    return this.command(site, 'limit', this.where(site, charger, session), { limit_a: limitA, session });
  }

  clearLimit(site: string, charger: string, session: string): Run {
    return this.command(site, 'clear_limit', this.where(site, charger, session), { session });
  }

  private where(site: string, charger: string, session: string): Target {
    const evse = this.members.value.get(site)?.state.peek().view.sessions[session]?.evse;
    return evse ? { charger, evse } : { charger };
  }

  unlock(site: string, charger: string, evse: number, endsCharge = false): Run {
    return this.command(site, 'unlock', { charger, evse }, endsCharge ? { ends_charge: true } : {});
  }

  reserve(site: string, charger: string, evse: number, minutes: number): Run {
    return this.command(site, 'reserve', { charger, evse }, { minutes });
  }

  // --- the page -------------------------------------------------------------------------------------------

  async allowLocalNetwork(): Promise<LocalNetwork> {
    this.permission.ask();
    const sites = [...this.members.value.values()].filter((site) => site.lan.known);
    await Promise.all(sites.map((site) => until(site, () => site.lan.open !== null, new Set(), 'lan').catch(() => {})));
    this.permission.unanswered();
    return this.permission.value.value;
  }

  /** What the person has answered about the local network has changed. */
  private permitted(): void {
    for (const site of this.members.value.values()) site.lan.wake.ring();
  }

  retry(): void {
    for (const site of this.members.value.values()) site.kick();
    for (const path of [...this.lanPaths.values(), ...this.cloudPaths.values()]) path.doubt();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.keep();
    clearTimeout(this.keeping);
    for (const end of this.ends) end();
    for (const stop of this.watching.values()) stop();
    for (const path of [...this.lanPaths.values(), ...this.cloudPaths.values()]) path.stop();
    this.tabs.close();
    this.store.close();
  }
}
