/**
 * One session's story as lines to read: each fact with its time, what it says in a few values, and how a value was
 * obtained. Pure: words are put to it by the screen.
 */

/** A fact as the queries `session` and `audit` tell it. */
export interface FactRow {
  readonly seq: number;
  readonly kind: string;
  readonly at: string;
  readonly clock?: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A line: the fact, and the values of it that a person asks for first. */
export interface Line {
  readonly key: string;
  readonly kind: string;
  readonly at: string;
  /** Name of a value → the value, in the order in which they are read. */
  readonly values: readonly (readonly [string, unknown])[];
  /** How what it tells was obtained: measured | estimated | operator; empty = it tells no such value. */
  readonly obtained: string;
  /** The box did not know the time for sure when it wrote this. */
  readonly unsure: boolean;
  readonly flags: readonly string[];
  readonly body: Readonly<Record<string, unknown>>;
}

const SHOWN: Readonly<Record<string, readonly string[]>> = {
  session_started: ['started_at', 'meter_start_wh', 'authorization', 'principal', 'transaction'],
  session_event: ['phase', 'number', 'reason'],
  session_learned: ['principal', 'meter_start_wh', 'evse'],
  session_ended: ['ended_at', 'meter_stop_wh', 'energy_wh', 'method', 'reason'],
  session_revised: ['revision', 'energy_wh', 'method', 'principal', 'reason'],
  command_accepted: ['name', 'principal', 'path', 'charger'],
  command_sent: ['step', 'attempt'],
  command_confirmed: ['answer', 'detail'],
  command_settled: ['outcome', 'code', 'detail'],
  authorization_changed: ['change', 'principal', 'role', 'charger', 'because'],
  charger_adopted: ['charger', 'name', 'removed'],
  clock_stepped: ['before', 'after', 'reason'],
  security_noted: ['what', 'charger', 'address', 'detail'],
  orphan_recorded: ['charger', 'what', 'reason', 'transaction'],
  orphan_resolved: ['charger', 'decision', 'reason'],
  meter_doubted: ['charger', 'factor'],
  limit_applied: ['limit_a', 'proof', 'rank'],
};

/** Facts as lines, in their order; what came twice, as from two pages that overlap, stands once. */
export function linesOf(facts: readonly FactRow[]): Line[] {
  const seen = new Set<string>();
  const lines: Line[] = [];
  for (const fact of facts) {
    const key = `${fact.seq}-${fact.kind}`;
    if (seen.has(key)) continue;
    seen.add(key);
    lines.push(lineOf(fact, key));
  }
  return lines;
}

function lineOf(fact: FactRow, key: string): Line {
  const names = SHOWN[fact.kind] ?? [];
  const values = names.map((name) => [name, fact.body[name]] as const).filter(([, value]) => told(value));
  const { obtained, flags } = fact.body;
  return {
    key,
    kind: fact.kind,
    at: fact.at,
    values,
    obtained: values.some(([name]) => name === 'energy_wh') && typeof obtained === 'string' ? obtained : '',
    unsure: fact.clock === 'floor',
    flags: Array.isArray(flags) ? flags.filter((flag) => typeof flag === 'string') : [],
    body: fact.body,
  };
}

function told(value: unknown): boolean {
  return value !== null && value !== undefined && value !== '' && value !== false;
}
