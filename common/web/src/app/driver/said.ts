/** What is said of a shown state: the headline, the line below it, and the short form for a list. Pure but for Intl. */
import type { ConnectorView, LimitView } from '../../client';
import { inForce } from '../../client';
import * as format from '../format';
import type { Shown } from './state';
import type { DriverWords } from './words';

export interface StateSaid {
  /** The big word: "Charging 7.2 kW". */
  readonly headline: string;
  /** What it means, and what to do. */
  readonly line: string;
  /** All in one line, for a list and for readers: "Charging 7.2 kW, 3.4 kWh, since 18:02". */
  readonly short: string;
}

/** The words for a state, at `nowMs` in the site's zone. */
export function stateSaid(shown: Shown, words: DriverWords, nowMs: number, zone?: string): StateSaid {
  const [plain = '', meaning = ''] = words.state[shown.kind] ?? [];
  const { power_w, energy_wh, sinceMs } = shown.figures;
  const flowing = shown.kind === 'charging' && power_w !== null && power_w > 0;
  const state = flowing ? words.charging(format.power(power_w)) : plain;
  const headline = shown.doubt === 'confirming' ? words.confirmingTitle : state;
  const parts = [headline];
  if (energy_wh !== null) parts.push(format.energy(energy_wh));
  if (sinceMs !== undefined) parts.push(words.sinceTime(format.clock(sinceMs, nowMs, zone)));
  return { headline, line: lineOf(shown, words, nowMs, meaning, zone), short: parts.join(', ') };
}

function lineOf(shown: Shown, words: DriverWords, nowMs: number, meaning: string, zone?: string): string {
  if (shown.doubt === 'confirming') return words.confirming((words.state[shown.kind] ?? [''])[0]);
  if (shown.untilMs !== undefined) {
    const until = format.clock(shown.untilMs, nowMs, zone);
    if (shown.kind === 'kept_for_you') return `${words.keptUntil(until)}. ${meaning}`;
    if (shown.kind === 'reserved') return `${words.reservedUntil(until)}. ${meaning}`;
  }
  if (shown.kind === 'not_connected' && shown.asOfMs === undefined) return meaning;
  if (shown.doubt !== 'last_known') return meaning;
  if (shown.asOfMs === undefined) return words.lastKnownCharger;
  return words.lastKnownSite(format.clock(shown.asOfMs, nowMs, zone));
}

/** The limit that counts at a connector, in words; empty = none. */
export function limitSaid(place: ConnectorView | undefined, words: DriverWords): string {
  const limit = place ? inForce(place.limit, place.session_limit) : null;
  return limit === null ? '' : limitText(limit, words);
}

function limitText(limit: LimitView, words: DriverWords): string {
  if (limit.limit_a !== null) {
    const text = format.current(limit.limit_a);
    return limit.proof === 'proven' ? words.limitProven(text) : words.limitUnproven(text);
  }
  if (limit.proof === 'refused') return words.limitRefused;
  return limit.asked_a === null ? '' : words.limitAsked(format.current(limit.asked_a));
}
