/**
 * What the app may know of a client: the contract that `Client` (real links) and `FakeClient` (a scripted site in
 * memory) both keep. Values that change are signals; the objects in them are never changed, but replaced, so that
 * a screen may compare by reference. Times named `…Ms` are milliseconds; `siteNow` is the site's own clock.
 */
import type { ReadonlySignal } from '@preact/signals-core';
import type { PlugsideError } from './errors';
import type { CommandArgs, Name, Role, Target, View } from './generated';

/** Which way a site is reached: on its own network, or through its cloud. */
export type Way = 'lan' | 'cloud';

/** One way to a site. `failure`: why the newest attempt failed; null while it is open or was never tried. */
export interface WayState {
  /** This device knows this way at all. */
  readonly known: boolean;
  readonly open: boolean;
  readonly failure: PlugsideError | null;
}

/** One site as this device sees it now. */
export interface SiteState {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** This device's pseudonym at the site: sessions with this `principal` are one's own. */
  readonly principal: string;
  readonly view: View;
  /** There is something to show in `view`. False at the first start, before anything was heard. */
  readonly shown: boolean;
  /** `view` is the present. False: it is the state of `asOf`, and has to be shown as such. */
  readonly live: boolean;
  /** The site's time at which `view` was last known to be the present; null when nothing is shown. */
  readonly asOf: number | null;
  /** The best way that is open; null = the site cannot be reached now. */
  readonly path: Way | null;
  readonly lan: WayState;
  readonly cloud: WayState;
  /** The cloud has the site's box on the line, as far as it has told. */
  readonly online: boolean;
  /** "floor" = the box does not know the time for sure. */
  readonly clock: string;
  /** Why this device is not let in any more (revoked, run out, forgotten): join again. Null = all is well. */
  readonly denied: PlugsideError | null;
  /** The base URL of the site's cloud; empty = it has none. */
  readonly cloudUrl: string;
  /** The site's time zone (IANA), where its operator has named one; empty = that of who looks will do. */
  readonly zone: string;
  /** An operator who may also invite operators and take over those that the box made. */
  readonly owner: boolean;
  /** The grant has run out, and counts until then (ms) because no cloud can be reached; null = it has not. */
  readonly graceUntil: number | null;
}

export type StageName = 'asked' | 'accepted' | 'confirmed' | 'settled' | 'refused' | 'unknown';

/**
 * How far a command is. It only goes forward, and never says more than is known:
 * asked → accepted (in the box's journal) → confirmed (the charger answered) → settled (the effect was seen, or is
 * known not to come), or refused (nothing was changed), or unknown (nobody can tell: look at the charger).
 */
export interface Stage {
  readonly at: StageName;
  /** The way that answered first; null = no answer yet. */
  readonly path: Way | null;
  /** The charger's answer, once confirmed: accepted | rejected | scheduled | not_supported | error | timeout. */
  readonly answer: string;
  /** Once settled: succeeded | failed | unknown. */
  readonly outcome: string;
  /** What went wrong, once settled without success, refused or unknown. */
  readonly error: PlugsideError | null;
  /** The session that the command began or ended, once known. */
  readonly session: string;
  readonly result: Readonly<Record<string, unknown>>;
  /** Milliseconds from the tap to each stage that was reached. */
  readonly ms: Readonly<Partial<Record<StageName, number>>>;
}

/** One command on its way. `stage` tells how far it is; nothing here has to be awaited. */
export interface Run {
  readonly id: string;
  readonly site: string;
  readonly name: Name;
  readonly target: Target;
  /** When it was asked for, by this device's clock. */
  readonly askedMs: number;
  readonly stage: ReadonlySignal<Stage>;
  /** Nothing more will be told: settled, refused or unknown. Resolves, never rejects. */
  readonly over: Promise<Stage>;
}

export interface Page<T> {
  readonly rows: readonly T[];
  /** To be given as `after` for the next page; empty = the end. */
  readonly next: string;
}

export interface AskOptions {
  /** `next` of the page before. */
  readonly after?: string;
  readonly limit?: number;
  /** By this way and no other: box and cloud do not answer all the same questions. */
  readonly via?: Way;
}

/** An invite that was read, before it is redeemed. Only its maker can say whom it makes. */
export interface InviteInfo {
  /** Host of the cloud, or address of the box, that made it: to be shown before joining. */
  readonly maker: string;
  readonly expiresMs: number;
  /** It is good at the box itself, so that joining needs the site's own network. */
  readonly local: boolean;
}

/** May this page speak to devices on the local network? `unneeded`: the browser does not ask. */
export type LocalNetwork = 'unneeded' | 'prompt' | 'granted' | 'denied';

/** What keeps this device from working at all. */
export type Trouble = 'storage' | 'insecure' | null;

/** See the module. Every promise rejects with a `PlugsideError` and nothing else. */
export interface AppClient {
  /** All sites of this device, by name. */
  readonly sites: ReadonlySignal<readonly SiteState[]>;
  /** Commands of this device that are on their way or ended lately, the newest first. */
  readonly runs: ReadonlySignal<readonly Run[]>;
  readonly localNetwork: ReadonlySignal<LocalNetwork>;
  readonly trouble: ReadonlySignal<Trouble>;

  /** One site, as a signal that changes only when that site does; undefined = not (any more) on this device. */
  site(id: string): ReadonlySignal<SiteState | undefined>;
  /** The site's time now, in ms since the epoch; null until the site has told it. */
  siteNow(id: string): number | null;

  /** Read an invite: its text, or a link with `#join=…` (or a box's own pairing code). Throws bad_invite. */
  readInvite(text: string): InviteInfo;
  /** Join a site. Resolves to its id. Asks for the local network when only the box can answer. */
  join(text: string, deviceName: string): Promise<string>;
  /** Fetch the grant of another site that this device looks after, from the cloud of `via`; then it is among `sites`. */
  access(via: string, site: string): Promise<void>;
  /** Remove a site from this device. Its rights end at the site by themselves. */
  forget(site: string): Promise<void>;

  /** Ask for an effect. The command is stored before it is sent; returns at once, and a screen shows `stage`. */
  command<N extends Name>(site: string, name: N, target: Target, args: CommandArgs[N]): Run;
  start(site: string, charger: string, evse?: number): Run;
  stop(site: string, charger: string, session: string): Run;
  limit(site: string, charger: string, session: string, limitA: number): Run;
  clearLimit(site: string, charger: string, session: string): Run;
  unlock(site: string, charger: string, evse: number, endsCharge?: boolean): Run;
  reserve(site: string, charger: string, evse: number, minutes: number): Run;

  /** One page of what is not live: sessions, session, meter, receipt, audit, health … */
  query<T = Record<string, unknown>>(
    site: string,
    what: string,
    args?: Readonly<Record<string, unknown>>,
    options?: AskOptions,
  ): Promise<Page<T>>;
  /** Administration that is no command to a charger (invite, forget, tags, reconcile …): sent once, never again. */
  manage<T = Record<string, unknown>>(
    site: string,
    name: string,
    args?: Readonly<Record<string, unknown>>,
    options?: Pick<AskOptions, 'via'>,
  ): Promise<T>;

  /**
   * Have the site's cloud at hand beside the LAN, until the returned function is called: people and their rights,
   * months and reconciliation are asked there. Does nothing for a site that is not on this device, or has no cloud.
   */
  wantCloud(site: string): () => void;

  /** Have the browser ask for the local network now; call it from a tap. Resolves to what it is then. */
  allowLocalNetwork(): Promise<LocalNetwork>;
  /** Try every closed way now: the person has asked, the page has come back, the network has changed. */
  retry(): void;
  /** End every link. The client cannot be used any more. */
  close(): void;
}
