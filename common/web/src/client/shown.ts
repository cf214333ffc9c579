/** What may be read out of a view with the time at hand: figures that still say something, the limit that counts. */
import { LIMITS, type LimitView, type SessionView } from './generated';

/** Power, current by phase and state of charge; null = not known now. */
export interface Live {
  readonly power_w: number | null;
  readonly current_a: readonly number[] | null;
  readonly soc_percent: number | null;
}

const NOTHING: Live = { power_w: null, current_a: null, soc_percent: null };

/** A session's live figures at site time `nowMs`; none where it is over or they are too old (quirk 76). */
export function live(session: SessionView, nowMs: number): Live {
  if (session.ended_at || !session.heard_at) return NOTHING;
  const heard = Date.parse(session.heard_at);
  if (!(nowMs <= heard + LIMITS.liveMs)) return NOTHING;
  return { power_w: session.power_w, current_a: session.current_a, soc_percent: session.soc_percent };
}

/** The limit that counts on a connector: its charge's own, else the one for every charge. */
export function inForce(byDefault: LimitView | null, session: LimitView | null): LimitView | null {
  if (session !== null && session.limit_a !== null) return session;
  return byDefault ?? session;
}
