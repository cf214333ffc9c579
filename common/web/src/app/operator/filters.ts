/**
 * Filters of the list of sessions: what the fields hold, what the query is asked. Days are the site's. Pure.
 */

export interface Filters {
  /** `2026-11-30`, the first day; empty = from the beginning. */
  readonly from: string;
  /** The last day, included. */
  readonly to: string;
  readonly charger: string;
  readonly principal: string;
  readonly flagged: boolean;
}

export const NO_FILTERS: Filters = { from: '', to: '', charger: '', principal: '', flagged: false };

/** The query's arguments; what is not asked for is left out. A day that is none counts as not given. */
export function argsOf(filters: Filters, zone: string | undefined): Record<string, unknown> {
  const since = dayStart(filters.from, zone);
  const until = dayStart(nextDay(filters.to), zone);
  return {
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    ...(filters.charger ? { charger: filters.charger } : {}),
    ...(filters.principal ? { principal: filters.principal } : {}),
    ...(filters.flagged ? { flagged: true } : {}),
  };
}

/** How many filters are set. */
export function setOf(filters: Filters): number {
  return Object.values(filters).filter(Boolean).length;
}

const DAY = /^(\d{4})-(\d{2})-(\d{2})$/;

function nextDay(day: string): string {
  if (!DAY.test(day)) return '';
  const next = new Date(`${day}T00:00:00Z`);
  if (Number.isNaN(next.getTime())) return '';
  next.setUTCDate(next.getUTCDate() + 1);
  return next.toISOString().slice(0, 10);
}

/** The instant at which a day begins in a zone, as ISO 8601; undefined where the text is no day. */
export function dayStart(day: string, zone: string | undefined): string | undefined {
  if (!DAY.test(day)) return undefined;
  const midnight = Date.parse(`${day}T00:00:00Z`);
  if (Number.isNaN(midnight)) return undefined;
  // Twice: the zone's distance from UTC is that of the instant found, which may be on the other side of a change.
  let at = midnight - distance(midnight, zone);
  at = midnight - distance(at, zone);
  return new Date(at).toISOString();
}

function distance(atMs: number, zone: string | undefined): number {
  const parts = Object.fromEntries(
    formatOf(zone)
      .formatToParts(atMs)
      .map((part) => [part.type, Number(part.value)]),
  );
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour % 24, minute, second) - Math.floor(atMs / 1000) * 1000;
}

function formatOf(zone: string | undefined): Intl.DateTimeFormat {
  const options: Intl.DateTimeFormatOptions = {
    calendar: 'gregory',
    numberingSystem: 'latn',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
    hourCycle: 'h23',
  };
  try {
    return new Intl.DateTimeFormat('en', { ...options, timeZone: zone });
  } catch {
    return new Intl.DateTimeFormat('en', options);
  }
}
