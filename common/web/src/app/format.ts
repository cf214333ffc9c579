/**
 * Numbers and times for people, in the language in use. Times are the site's: give its zone where it is known.
 *
 * Units come in as they travel (W, Wh, A, ms, ISO 8601) and go out as people say them (kW, kWh, 18:02).
 */
import { type Language, language, locale } from './i18n';

const numbers = new Map<string, Intl.NumberFormat>();
const times = new Map<string, Intl.DateTimeFormat>();

function decimal(value: number, least: number, most: number): string {
  const key = `${locale()}|${least}|${most}`;
  let made = numbers.get(key);
  if (made === undefined) {
    made = new Intl.NumberFormat(locale(), { minimumFractionDigits: least, maximumFractionDigits: most });
    numbers.set(key, made);
  }
  return made.format(value);
}

function stamp(zone: string | undefined, name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${locale()}|${zone ?? ''}|${name}`;
  let made = times.get(key);
  if (made === undefined) {
    try {
      made = new Intl.DateTimeFormat(locale(), { ...options, timeZone: zone });
    } catch {
      made = new Intl.DateTimeFormat(locale(), options); // a zone that this browser does not know
    }
    times.set(key, made);
  }
  return made;
}

/** A whole or half number in the reader's way of writing. */
export function count(value: number): string {
  return decimal(value, 0, 1);
}

/** Power, as '7.2 kW'; below 100 W as '40 W'. */
export function power(power_w: number): string {
  return power_w > 0 && power_w < 100 ? `${decimal(power_w, 0, 0)} W` : `${decimal(power_w / 1000, 1, 1)} kW`;
}

/** Energy, as '3.4 kWh'. `exact`: to the watt hour, for receipts. */
export function energy(energy_wh: number, exact = false): string {
  return exact ? `${decimal(energy_wh / 1000, 3, 3)} kWh` : `${decimal(energy_wh / 1000, 1, 2)} kWh`;
}

/** A current, as '16 A'. */
export function current(limit_a: number): string {
  return `${decimal(limit_a, 0, 1)} A`;
}

/** A share of a hundred, as '64 %'. */
export function percent(value: number): string {
  return new Intl.NumberFormat(locale(), { style: 'percent', maximumFractionDigits: 0 }).format(value / 100);
}

/** Milliseconds since the epoch, or undefined where the text names no instant (a charger's own words). */
export function instant(at: string): number | undefined {
  // A text without a zone is some clock's time, not an instant.
  if (!/(?:Z|[+-]\d\d:?\d\d)$/.test(at)) return undefined;
  const ms = Date.parse(at);
  return Number.isNaN(ms) ? undefined : ms;
}

/** A time of day; with its day when that is not the day of `nowMs`. */
export function clock(atMs: number, nowMs?: number, zone?: string): string {
  const time = stamp(zone, 'time', { hour: '2-digit', minute: '2-digit' }).format(atMs);
  if (nowMs === undefined || sameDay(atMs, nowMs, zone)) return time;
  return `${day(atMs, zone)}, ${time}`;
}

/** A day, as 'Mon 30 Nov' in the reader's way. */
export function day(atMs: number, zone?: string): string {
  return stamp(zone, 'day', { weekday: 'short', day: 'numeric', month: 'short' }).format(atMs);
}

/** A month with its year. */
export function month(atMs: number, zone?: string): string {
  return stamp(zone, 'month', { month: 'long', year: 'numeric' }).format(atMs);
}

/** Day and time with the year, for what is looked up later. */
export function moment(atMs: number, zone?: string): string {
  return stamp(zone, 'moment', { dateStyle: 'medium', timeStyle: 'medium' }).format(atMs);
}

/** Whether two instants are of one day at the site. */
export function sameDay(oneMs: number, otherMs: number, zone?: string): boolean {
  const whole = stamp(zone, 'date', { year: 'numeric', month: 'numeric', day: 'numeric' });
  return whole.format(oneMs) === whole.format(otherMs);
}

const MINUTE_MS = 60_000;

/** How long something took or lasts, as '1 h 12 min'; below a minute '40 s'. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return unit(seconds, 'second');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return unit(minutes, 'minute');
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60;
  if (hours >= 48) return unit(Math.floor(hours / 24), 'day');
  return rest === 0 ? unit(hours, 'hour') : `${unit(hours, 'hour')} ${unit(rest, 'minute')}`;
}

/** How old something is, in its largest unit: '12 min'. */
export function age(ms: number): string {
  const minutes = Math.floor(ms / MINUTE_MS);
  if (minutes >= 60 && minutes < 48 * 60) return unit(Math.floor(minutes / 60), 'hour');
  return duration(ms);
}

/** '12 min ago', in the reader's words; anything below a minute is 'just now''s business. */
export function ago(ms: number): string {
  const relative = new Intl.RelativeTimeFormat(locale(), { numeric: 'always', style: 'short' });
  const minutes = Math.floor(ms / MINUTE_MS);
  if (minutes < 1) return relative.format(-Math.max(1, Math.floor(ms / 1000)), 'second');
  if (minutes < 60) return relative.format(-minutes, 'minute');
  if (minutes < 48 * 60) return relative.format(-Math.floor(minutes / 60), 'hour');
  return relative.format(-Math.floor(minutes / (24 * 60)), 'day');
}

// Symbols of the SI, which every language writes; days have none that people read.
const SYMBOLS = { second: 's', minute: 'min', hour: 'h' } as const;

function unit(value: number, name: keyof typeof SYMBOLS | 'day'): string {
  if (name !== 'day') return `${decimal(value, 0, 0)}\u00a0${SYMBOLS[name]}`;
  return new Intl.NumberFormat(locale(), { style: 'unit', unit: name, unitDisplay: 'long' }).format(value);
}

/** The names of the languages, each in itself. */
export function ownName(one: Language): string {
  return new Intl.DisplayNames([one], { type: 'language' }).of(one) ?? one;
}

/** The language in use; read so that a caller is drawn again when it changes. */
export function spoken(): Language {
  return language.value;
}
