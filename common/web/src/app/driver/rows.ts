/** A session as the history answers it: box and cloud tell the same in slightly different rows. Pure. */
import type { EnergyMethod, SessionView } from '../../client/generated';
import { instant } from '../format';

/** What both tell; more is there and not needed. */
export interface SessionRow {
  readonly session: string;
  readonly charger: string;
  readonly evse?: number;
  readonly started_at?: string;
  readonly ended_at?: string;
  readonly received_at?: string;
  readonly corrected_started_at?: string;
  readonly corrected_ended_at?: string;
  readonly energy_wh?: number | null;
  readonly meter_start_wh?: number | null;
  readonly meter_stop_wh?: number | null;
  readonly method?: EnergyMethod;
  readonly reason?: string;
  readonly revision?: number;
  readonly state?: string;
  readonly attention?: readonly string[];
}

/** When it began, ms: corrected where the box's clock was set later; undefined where nobody can tell. */
export function beganMs(row: SessionRow): number | undefined {
  return instant(row.corrected_started_at || row.started_at || '') ?? instant(row.received_at ?? '');
}

/** When it ended, ms. */
export function endedMs(row: SessionRow): number | undefined {
  return instant(row.corrected_ended_at || row.ended_at || '');
}

/** How long it took, ms, where both ends are known and in order. */
export function tookMs(row: SessionRow): number | undefined {
  const began = beganMs(row);
  const ended = endedMs(row);
  return began === undefined || ended === undefined || ended < began ? undefined : ended - began;
}

export function isOpen(row: SessionRow): boolean {
  return row.state === 'open';
}

/**
 * Whether rows tell less than the site's live state: a charge of this person's that has ended stands open, or is not
 * there yet. The cloud shows a moment earlier what it files a moment later.
 */
export function isBehind(rows: readonly SessionRow[], live: Iterable<SessionView>, principal: string): boolean {
  const told = new Map(rows.map((row) => [row.session, row]));
  const newest = rows[0] === undefined ? undefined : beganMs(rows[0]);
  for (const session of live) {
    if (!session.ended_at || session.principal !== principal) continue;
    const row = told.get(session.session);
    if (row ? isOpen(row) : isLater(session, newest)) return true;
  }
  return false;
}

function isLater(session: SessionView, than: number | undefined): boolean {
  const began = instant(session.started_at) ?? instant(session.received_at);
  return than === undefined || (began !== undefined && began > than);
}

/** A receipt as a file: its members sorted, no blanks (RFC 8785), as the box has signed it. */
export function receiptText(receipt: unknown): string {
  return JSON.stringify(sorted(receipt));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}
