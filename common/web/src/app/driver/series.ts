/** A session's power over time: read from the pages of its meter, and carried on by what is pushed. Pure. */
import type { MeterSample, SessionView } from '../../client';
import { instant } from '../format';

/** Times in seconds, as charts want them, and power in W; ascending, one point a time. */
export interface Series {
  readonly times: readonly number[];
  readonly power_w: readonly number[];
}

/** A row of the query `meter`, as box and cloud answer it; defaults are left out on the wire. */
export interface MeterRow {
  readonly received_at?: string;
  readonly at?: string;
  readonly sample?: Partial<MeterSample>;
}

/** Labels along an axis, where a short charge would have the same minute again and again: each at its first place. */
export function once(labels: readonly string[]): string[] {
  return labels.map((label, index) => (label === labels[index - 1] ? '' : label));
}

export const NO_SERIES: Series = { times: [], power_w: [] };

/** Points that a phone's screen can tell apart; of more, every other one is left out. */
export const POINTS_MAX = 1200;

/** The series that these rows tell. Samples of the charger's own side of the socket, or without power, are none. */
export function seriesOf(rows: readonly MeterRow[]): Series {
  const points = new Map<number, number>();
  for (const row of rows) {
    const sample = row.sample ?? {};
    const power = sample.power_w;
    const location = sample.location ?? 'outlet';
    const at = instant(sample.at ?? '') ?? instant(row.received_at ?? row.at ?? '');
    if (power == null || at === undefined || (location !== 'outlet' && location !== 'cable')) continue;
    points.set(at / 1000, power);
  }
  const times = [...points.keys()].sort((a, b) => a - b);
  return thinned({ times, power_w: times.map((at) => points.get(at) ?? 0) });
}

/** The series with what the view shows now behind it; the same object when that is nothing new. */
export function carriedOn(series: Series, session: SessionView): Series {
  const at = instant(session.sampled_at);
  const last = series.times.at(-1);
  if (at === undefined || session.power_w === null) return series;
  if (last !== undefined && at / 1000 <= last) return series;
  return thinned({ times: [...series.times, at / 1000], power_w: [...series.power_w, session.power_w] });
}

function thinned(series: Series): Series {
  if (series.times.length <= POINTS_MAX) return series;
  const keep = (_: unknown, index: number): boolean => index % 2 === 0 || index === series.times.length - 1;
  return { times: series.times.filter(keep), power_w: series.power_w.filter(keep) };
}
