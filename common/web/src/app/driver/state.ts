/**
 * What a driver is shown of a connector: one kind of state, and what may be asked for in it. Pure: the time, the site
 * and who is looking are arguments, and words come afterwards (`said.ts`).
 *
 * It tells what was pushed and nothing else: what was asked for and is not there yet is told by `asks.ts`.
 */
import type { ChargerView, ConnectorView, SessionView, SiteState, View } from '../../client';
import { live } from '../../client';
import type { IconName, Tone } from '../ui';

export type Kind =
  | 'ready'
  | 'plugged'
  | 'waiting_for_car'
  | 'charging'
  | 'paused_by_car'
  | 'paused_by_charger'
  | 'finished'
  | 'in_use'
  | 'kept_for_you'
  | 'reserved'
  | 'out_of_service'
  | 'faulted'
  | 'untold'
  | 'unknown'
  | 'not_connected';

/** Why what is shown may not be the present: it is confirmed right now, or it is the last that was known. */
export type Doubt = 'none' | 'confirming' | 'last_known';

/** How the site can be spoken to now. */
export type Reach = 'lan' | 'cloud' | 'box_away' | 'none';

export interface Figures {
  readonly power_w: number | null;
  readonly energy_wh: number | null;
  readonly soc_percent: number | null;
  /** When the charge began; undefined where the charger's own word names no instant. */
  readonly sinceMs: number | undefined;
}

export interface May {
  readonly start: boolean;
  readonly stop: boolean;
  readonly limit: boolean;
  readonly reserve: boolean;
  readonly cancel: boolean;
  readonly unlock: boolean;
  /** Unlocking would end a charge that runs. */
  readonly unlockEnds: boolean;
}

export interface Shown {
  readonly kind: Kind;
  readonly doubt: Doubt;
  readonly reach: Reach;
  readonly tone: Tone;
  readonly icon: IconName;
  /** The charge that is going on there, if it may be seen. */
  readonly session: SessionView | null;
  readonly mine: boolean;
  readonly figures: Figures;
  /** What the charger itself calls its fault; a stranger's text. */
  readonly fault: string;
  readonly untilMs: number | undefined;
  /** Of what is not the present: when it was, where that is known. */
  readonly asOfMs: number | undefined;
  readonly may: May;
}

/** What the answer depends on. `evse` undefined: the charger as a whole, before it has told of a connector. */
export interface Asked {
  readonly site: Pick<SiteState, 'view' | 'live' | 'asOf' | 'path' | 'online' | 'principal' | 'role' | 'shown'>;
  readonly charger: ChargerView;
  readonly evse: number | undefined;
  readonly nowMs: number;
  /** Commands by which this device has reserved something. */
  readonly reservations?: readonly string[] | undefined;
  /** A start of one's own was taken by the charger, and no session has begun yet. */
  readonly started?: boolean | undefined;
}

const LOOKS: Record<Kind, readonly [Tone, IconName]> = {
  ready: ['good', 'check'],
  plugged: ['good', 'plug'],
  waiting_for_car: ['wait', 'car'],
  charging: ['flow', 'bolt'],
  paused_by_car: ['wait', 'pause'],
  paused_by_charger: ['wait', 'pause'],
  finished: ['good', 'check'],
  in_use: ['off', 'lock'],
  kept_for_you: ['good', 'clock'],
  reserved: ['off', 'clock'],
  out_of_service: ['off', 'off'],
  faulted: ['bad', 'alert'],
  untold: ['wait', 'question'],
  unknown: ['off', 'question'],
  not_connected: ['off', 'cut'],
};

const CONFIRMING: readonly [Tone, IconName] = ['wait', 'question'];

const NO_FIGURES: Figures = { power_w: null, energy_wh: null, soc_percent: null, sinceMs: undefined };

/** The connectors of a charger, by number. */
export function places(charger: ChargerView): readonly ConnectorView[] {
  return Object.values(charger.connectors).sort((a, b) => a.evse - b.evse);
}

/** How the site can be spoken to now. */
export function reachOf(site: Pick<SiteState, 'path' | 'online' | 'live'>): Reach {
  if (site.path === null) return 'none';
  if (site.path === 'cloud' && !site.online) return 'box_away';
  return site.path;
}

/** What a driver is shown. */
export function shown(asked: Asked): Shown {
  const { site, charger, nowMs } = asked;
  const place = asked.evse === undefined ? undefined : charger.connectors[String(asked.evse)];
  const session = openSession(site.view, place);
  const mine = session !== null && session.principal === site.principal;
  const kind = kindOf(asked, place, session);
  const reach = reachOf(site);
  const doubt = doubtOf(site, charger, place);
  const [tone, icon] = doubt === 'confirming' ? CONFIRMING : LOOKS[kind];
  return {
    kind,
    doubt,
    reach,
    tone: doubt === 'last_known' && kind !== 'faulted' ? 'off' : tone,
    icon,
    session,
    mine,
    figures: session === null ? NO_FIGURES : figuresOf(session, nowMs, doubt),
    fault: kind === 'faulted' && place ? fault(place) : '',
    untilMs: place?.reserved_until ? Date.parse(place.reserved_until) || undefined : undefined,
    asOfMs: site.live ? undefined : (site.asOf ?? undefined),
    may: mayOf(asked, place, session, kind, reach),
  };
}

function openSession(view: View, place: ConnectorView | undefined): SessionView | null {
  const session = place?.session ? view.sessions[place.session] : undefined;
  return session && !session.ended_at ? session : null;
}

function kindOf(asked: Asked, place: ConnectorView | undefined, session: SessionView | null): Kind {
  const { charger } = asked;
  if (!charger.online && (place === undefined || session === null)) return 'not_connected';
  if (place === undefined) return STATION[charger.station] ?? 'unknown';
  const state = place.state;
  if (place.unattributed || session?.flags.includes('unattributed')) return 'untold';
  if (state === 'faulted') return 'faulted';
  if (session !== null) return CHARGE[state] ?? 'charging';
  if (state in CHARGE && state !== 'finishing') return 'in_use';
  if (state === 'finishing') return 'finished';
  if (state === 'unavailable' || place.out_of_service) return 'out_of_service';
  if (isMine(asked, place)) return asked.started ? 'waiting_for_car' : 'kept_for_you';
  if (state === 'reserved' || place.reserved_by) return 'reserved';
  if (state === 'preparing') return 'plugged';
  if (state === 'available') return asked.started ? 'waiting_for_car' : 'ready';
  return 'unknown';
}

// While a session is open its connector's state says what the charge does.
const CHARGE: Partial<Record<ConnectorView['state'], Kind>> = {
  charging: 'charging',
  suspended_ev: 'paused_by_car',
  suspended_evse: 'paused_by_charger',
  finishing: 'finished',
};

const STATION: Partial<Record<ConnectorView['state'], Kind>> = {
  available: 'ready',
  unavailable: 'out_of_service',
  faulted: 'faulted',
};

function isMine(asked: Asked, place: ConnectorView): boolean {
  if (!place.reserved_by) return false;
  const known = asked.site.view.commands[place.reserved_by];
  return known?.principal === asked.site.principal || !!asked.reservations?.includes(place.reserved_by);
}

function doubtOf(site: Asked['site'], charger: ChargerView, place: ConnectorView | undefined): Doubt {
  if (!site.live || !charger.online || place?.stale) return 'last_known';
  return place?.observed ? 'confirming' : 'none';
}

function figuresOf(session: SessionView, nowMs: number, doubt: Doubt): Figures {
  const began = /(?:Z|[+-]\d\d:?\d\d)$/.test(session.started_at) ? Date.parse(session.started_at) : NaN;
  // Power that flowed when the link went down says nothing of now; energy that was counted stays counted.
  const flow = doubt === 'last_known' ? null : live(session, nowMs);
  return {
    power_w: flow?.power_w ?? null,
    energy_wh: session.energy_wh,
    soc_percent: flow?.soc_percent ?? null,
    sinceMs: Number.isNaN(began) ? undefined : began,
  };
}

function fault(place: ConnectorView): string {
  return [place.error_code, place.info].filter((text) => text && text !== 'NoError').join(': ');
}

const STARTABLE: ReadonlySet<Kind> = new Set(['ready', 'plugged', 'kept_for_you']);
const RUNNING: ReadonlySet<Kind> = new Set(['charging', 'paused_by_car', 'paused_by_charger']);

function mayOf(
  asked: Asked,
  place: ConnectorView | undefined,
  session: SessionView | null,
  kind: Kind,
  reach: Reach,
): May {
  const { site, charger } = asked;
  const heard = reach === 'lan' || reach === 'cloud';
  const mine = session !== null && session.principal === site.principal;
  const steady = heard && charger.online && !place?.observed && !asked.started;
  const running = heard && session !== null && (mine || site.role !== 'driver');
  const unlockable = place !== undefined && heard && charger.online && ownCable(asked, place, session);
  return {
    start: steady && STARTABLE.has(kind),
    stop: running,
    limit: running && charger.online && RUNNING.has(kind),
    reserve: steady && kind === 'ready' && place !== undefined,
    cancel: heard && kind === 'kept_for_you',
    unlock: unlockable,
    unlockEnds: unlockable && session !== null,
  };
}

/** Whether the cable in the connector is one's own, as far as can be told. */
function ownCable(asked: Asked, place: ConnectorView, session: SessionView | null): boolean {
  const { site } = asked;
  if (session !== null) return session.principal === site.principal;
  if (place.plug === 'out' || !['finishing', 'preparing'].includes(place.state)) return false;
  const last = Object.values(site.view.sessions)
    .filter((one) => one.charger === asked.charger.id && one.evse === place.evse && one.ended_at)
    .sort((a, b) => b.ended_at.localeCompare(a.ended_at))[0];
  return last?.principal === site.principal;
}
