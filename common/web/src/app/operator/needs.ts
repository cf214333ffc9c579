/**
 * What needs a person, worst first: the one order of `common/needs.py`, and what of a followed site it is about.
 * Pure; `vectors` of both sides are held together by a test.
 */
import type { ChargerView, ConnectorView, View } from '../../client';

/** The gravest first, as the server ranks. */
export const KINDS = [
  'offline',
  'clock',
  'faulted',
  'lost',
  'unattributed',
  'flagged',
  'orphans',
  'waiting',
  'taps',
  'backlog',
] as const;
export type NeedKind = (typeof KINDS)[number];

/** How many of each kind a site has; a kind of which there is nothing is left out. */
export type Needs = Readonly<Partial<Record<NeedKind, number>>>;

/** A site in the answer to the query `sites`. */
export interface SiteRow {
  readonly site: string;
  readonly name: string;
  readonly online: boolean;
  readonly seen_at: string;
  readonly software: string;
  readonly zone: string;
  readonly clock: string;
  readonly skew_ms: number;
  readonly backlog: number;
  readonly addresses: readonly string[];
  readonly needs: Needs;
  readonly chargers?: { readonly all: number; readonly online: number; readonly charging: number };
}

/** One thing that needs somebody at a site. */
export interface Item {
  readonly kind: NeedKind;
  readonly charger?: ChargerView;
  readonly place?: ConnectorView;
  /** Reference of a tag that was tapped. */
  readonly tag?: string;
  /** When it was seen, as told. */
  readonly at?: string;
}

/** The kinds that a site has, the gravest first. */
export function kindsOf(needs: Needs): NeedKind[] {
  return KINDS.filter((kind) => (needs[kind] ?? 0) > 0);
}

/** Rows with the one that needs somebody most at the top; equals by name. */
export function worstFirst(rows: readonly SiteRow[]): SiteRow[] {
  return [...rows].sort((a, b) => {
    const grade = gradeOf(a) - gradeOf(b);
    if (grade !== 0) return grade;
    const kind = KINDS[gradeOf(a)];
    const more = kind === undefined ? 0 : (b.needs[kind] ?? 0) - (a.needs[kind] ?? 0);
    return more !== 0 ? more : a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1;
  });
}

function gradeOf(row: SiteRow): number {
  const first = KINDS.findIndex((kind) => (row.needs[kind] ?? 0) > 0);
  return first < 0 ? KINDS.length : first;
}

/** What a followed site shows that needs somebody, worst first. */
export function itemsOf(view: View): Item[] {
  const items: Item[] = [];
  for (const charger of Object.values(view.chargers)) {
    if (!charger.adopted) items.push({ kind: 'waiting', charger, at: charger.since });
    else if (!charger.online) items.push({ kind: 'lost', charger, at: charger.since });
    else items.push(...placesOf(charger));
  }
  for (const [tag, tap] of Object.entries(view.taps)) {
    const charger = view.chargers[tap.charger];
    items.push({ kind: 'taps', tag, at: tap.at, ...(charger === undefined ? {} : { charger }) });
  }
  return items.sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind));
}

function placesOf(charger: ChargerView): Item[] {
  return Object.values(charger.connectors).flatMap((place): Item[] => {
    if (place.state === 'faulted') return [{ kind: 'faulted', charger, place, at: place.since }];
    if (place.unattributed) return [{ kind: 'unattributed', charger, place, at: place.since }];
    return [];
  });
}

/** Chargers as an operator looks through them: those with trouble first, then those in use, then by name. */
export function ranked(chargers: readonly ChargerView[]): ChargerView[] {
  return [...chargers].sort((a, b) => rankOf(a) - rankOf(b) || nameOf(a).localeCompare(nameOf(b)));
}

function rankOf(charger: ChargerView): number {
  const states = Object.values(charger.connectors).map((place) => place.state);
  if (charger.online && states.includes('faulted')) return 0;
  if (!charger.online) return 1;
  if (states.some((state) => state === 'charging')) return 2;
  return 3;
}

export function nameOf(charger: ChargerView): string {
  return charger.name || charger.id;
}
