/**
 * A client whose sites live in memory and do what a script says: for tests of screens, and for working on them with
 * no box at hand. It folds real facts by the real fold. Not part of what is shipped: nothing in the app imports it.
 */
import { signal, computed, type ReadonlySignal, type Signal } from '@preact/signals-core';
import { PlugsideError } from './errors';
import { apply, emptyView, viewOf } from './fold';
import type { Bodies, Code, CommandArgs, Name, Role, Target, View } from './generated';
import type {
  AppClient,
  AskOptions,
  InviteInfo,
  LocalNetwork,
  Page,
  Run,
  SiteState,
  Stage,
  Trouble,
  Way,
} from './types';

/** A fact to be told: what may be left out has its default. */
export type FakeBody<K extends keyof Bodies> = Partial<Bodies[K]>;

export interface FakeSiteOptions {
  readonly id?: string;
  readonly name?: string;
  readonly role?: Role;
  readonly principal?: string;
  readonly owner?: boolean;
  /** A view as the wire has it: defaults may be left out at every depth. */
  readonly view?: unknown;
  readonly path?: Way | null;
  readonly cloudUrl?: string;
}

const ASKED: Stage = {
  at: 'asked',
  path: null,
  answer: '',
  outcome: '',
  error: null,
  session: '',
  result: {},
  ms: { asked: 0 },
};

/** One command of the fake: the script moves it by `tell`. */
export class FakeRun implements Run {
  readonly stage: Signal<Stage> = signal(ASKED);
  readonly over: Promise<Stage>;
  private end!: (stage: Stage) => void;

  constructor(
    readonly id: string,
    readonly site: string,
    readonly name: Name,
    readonly target: Target,
    readonly args: unknown,
    readonly askedMs: number,
  ) {
    this.over = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  tell(change: Partial<Stage>): void {
    const at = change.at ?? this.stage.value.at;
    this.stage.value = {
      ...this.stage.value,
      path: 'lan',
      ...change,
      ms: { ...this.stage.value.ms, [at]: 10 },
    };
    if (at === 'settled' || at === 'refused' || at === 'unknown') this.end(this.stage.value);
  }

  /** Refused: nothing was changed. */
  refuse(code: Code): void {
    this.tell({ at: 'refused', error: new PlugsideError(code) });
  }
}

export class FakeClient implements AppClient {
  readonly sites: Signal<readonly SiteState[]> = signal([]);
  readonly runs: Signal<readonly FakeRun[]> = signal([]);
  readonly localNetwork: Signal<LocalNetwork> = signal('unneeded');
  readonly trouble: Signal<Trouble> = signal(null);
  /** What `query` answers, by `what`. A function gets site, arguments and options. */
  readonly pages: Record<
    string,
    (site: string, args: Readonly<Record<string, unknown>>, options: AskOptions) => Page<unknown>
  > = {};
  /** What `manage` answers, by name. May throw a PlugsideError. */
  readonly desk: Record<string, (site: string, args: Readonly<Record<string, unknown>>) => unknown> = {};
  /** Called for each command; moves it by `run.tell` and tells facts. Default: nothing happens. */
  onCommand: (run: FakeRun) => void = () => {};
  /** What joining brings; null = the invite is refused. */
  onJoin: () => FakeSiteOptions | null = () => ({});
  /** What fetching another site's grant brings; null = it is not theirs. */
  onAccess: (site: string) => FakeSiteOptions | null = () => null;
  /** Site time, ms. */
  nowMs = Date.parse('2027-01-15T18:02:00.000Z');
  private count = 0;

  addSite(options: FakeSiteOptions = {}): string {
    const id = options.id ?? `site-${this.sites.value.length + 1}`;
    const path = options.path === undefined ? 'lan' : options.path;
    const view = options.view as View | undefined;
    const state: SiteState = {
      id,
      name: options.name ?? 'Home',
      role: options.role ?? 'driver',
      principal: options.principal ?? 'me',
      view: view === undefined ? emptyView(id) : viewOf({ view: { ...view, site: id }, epoch: '1-a', seq: 1 }),
      shown: true,
      live: path !== null,
      asOf: this.nowMs,
      path,
      lan: { known: true, open: path === 'lan', failure: null },
      cloud: { known: true, open: path === 'cloud', failure: null },
      online: true,
      clock: 'synced',
      denied: null,
      cloudUrl: options.cloudUrl ?? 'https://cloud.example',
      zone: '',
      owner: options.owner ?? false,
      graceUntil: null,
    };
    this.put(state);
    return id;
  }

  private put(state: SiteState): void {
    const others = this.sites.value.filter((site) => site.id !== state.id);
    this.sites.value = [...others, state].sort((a, b) => a.name.localeCompare(b.name));
  }

  /** Change what is known of a site besides its view: path, live, online, denied … */
  set(site: string, change: Partial<SiteState>): void {
    const known = this.sites.value.find((one) => one.id === site);
    if (known) this.put({ ...known, ...change });
  }

  /** A fact happens at the site now. */
  fact<K extends keyof Bodies>(site: string, kind: K, body: FakeBody<K>): void {
    const known = this.sites.value.find((one) => one.id === site);
    if (!known) return;
    const at = new Date(this.nowMs).toISOString();
    const record = { uid: String(this.count++), kind, v: 1, at, clock: 'synced', body };
    this.put({ ...known, view: apply(known.view, known.view.epoch, known.view.seq + 1, record), asOf: this.nowMs });
  }

  site(id: string): ReadonlySignal<SiteState | undefined> {
    return computed(() => this.sites.value.find((site) => site.id === id));
  }

  siteNow(): number | null {
    return this.nowMs;
  }

  readInvite(text: string): InviteInfo {
    if (!text.includes('plugside1_')) throw new PlugsideError('bad_invite');
    return { maker: 'cloud.example', expiresMs: this.nowMs + 3_600_000, local: false };
  }

  join(text: string): Promise<string> {
    return this.promise(() => {
      this.readInvite(text);
      const options = this.onJoin();
      if (options === null) throw new PlugsideError('bad_invite');
      return this.addSite(options);
    });
  }

  access(_via: string, site: string): Promise<void> {
    return this.promise(() => {
      const options = this.onAccess(site);
      if (options === null) throw new PlugsideError('unknown_site', site);
      this.addSite({ ...options, id: site });
    });
  }

  forget(site: string): Promise<void> {
    return this.promise(() => {
      this.sites.value = this.sites.value.filter((one) => one.id !== site);
    });
  }

  command<N extends Name>(site: string, name: N, target: Target, args: CommandArgs[N]): Run {
    const run = new FakeRun(`command-${this.count++}`, site, name, target, args, Date.now());
    this.runs.value = [run, ...this.runs.value];
    this.onCommand(run);
    return run;
  }

  start(site: string, charger: string, evse?: number): Run {
    return this.command(site, 'start', evse === undefined ? { charger } : { charger, evse }, {});
  }

  stop(site: string, charger: string, session: string): Run {
    return this.command(site, 'stop', { charger }, { session });
  }

  limit(site: string, charger: string, session: string, limitA: number): Run {
    return this.command(site, 'limit', { charger }, { session, limit_a: limitA });
  }

  clearLimit(site: string, charger: string, session: string): Run {
    return this.command(site, 'clear_limit', { charger }, { session });
  }

  unlock(site: string, charger: string, evse: number, endsCharge = false): Run {
    return this.command(site, 'unlock', { charger, evse }, { ends_charge: endsCharge });
  }

  reserve(site: string, charger: string, evse: number, minutes: number): Run {
    return this.command(site, 'reserve', { charger, evse }, { minutes });
  }

  query<T>(site: string, what: string, args = {}, options: AskOptions = {}): Promise<Page<T>> {
    return this.promise(() => {
      const answer = this.pages[what];
      if (!answer) throw new PlugsideError('bad_request', `there is no query ${what}`);
      return answer(site, args, options) as Page<T>;
    });
  }

  wantCloud(): () => void {
    return () => {};
  }

  manage<T>(site: string, name: string, args = {}): Promise<T> {
    return this.promise(() => {
      const answer = this.desk[name];
      if (!answer) throw new PlugsideError('bad_request', `there is no ${name} here`);
      return answer(site, args) as T;
    });
  }

  allowLocalNetwork(): Promise<LocalNetwork> {
    return Promise.resolve(this.localNetwork.value);
  }

  retry(): void {}

  close(): void {}

  private promise<T>(work: () => T): Promise<T> {
    return new Promise((resolve) => resolve(work()));
  }
}
