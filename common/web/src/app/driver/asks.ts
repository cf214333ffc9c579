/**
 * What was asked for at a charger and how far it is: this tab's own runs, and what the site tells of commands that
 * another tab, or this one before it was loaded again, has sent. Pure.
 *
 * What was unknown becomes known when it is seen: a session that names the command, or the end of the one to stop.
 */
import type { CommandView, PlugsideError, Run, StageName, View, Way } from '../../client';
import type { Trouble } from '../errors';

export type AskName = 'start' | 'stop' | 'limit' | 'clear_limit' | 'reserve' | 'cancel_reservation' | 'unlock';

export interface Ask {
  readonly id: string;
  readonly name: AskName;
  readonly at: StageName;
  readonly path: Way | null;
  readonly answer: string;
  readonly outcome: string;
  readonly trouble: Trouble | null;
  readonly session: string;
  /** From the tap to the charger's answer, where it was heard here. */
  readonly confirmedMs: number | undefined;
  /** Of an unknown outcome: it was seen to have happened after all. */
  readonly seen: boolean;
}

const NAMES: ReadonlySet<string> = new Set<AskName>([
  'start',
  'stop',
  'limit',
  'clear_limit',
  'reserve',
  'cancel_reservation',
  'unlock',
]);

function isAsk(name: string): name is AskName {
  return NAMES.has(name);
}

/** Nothing more will be told about it. */
export function isOver(ask: Ask): boolean {
  return ask.at === 'settled' || ask.at === 'refused' || ask.at === 'unknown';
}

/** It is over, and what was asked for is there. */
export function isDone(ask: Ask): boolean {
  return ask.at === 'settled' && ask.outcome === 'succeeded';
}

/** Nobody can say whether it was carried out. */
export function isUnknown(ask: Ask): boolean {
  return ask.at === 'unknown' || (ask.at === 'settled' && ask.outcome === 'unknown');
}

/** What is to be told of a charger's connector: the newest ask of one's own that has not been put away. */
export function newest(
  view: View,
  runs: readonly Run[],
  charger: string,
  evse: number | undefined,
  principal: string,
  away: ReadonlySet<string>,
): Ask | null {
  const here = runs.filter((run) => concerns(run, charger, evse));
  const own = here.filter((run) => !away.has(run.id)).map((run) => ofRun(run, view));
  const told = Object.values(view.commands)
    .filter((one) => one.principal === principal && one.charger === charger && one.state !== 'settled')
    .filter((one) => evse === undefined || one.evse === null || one.evse === evse)
    .filter((one) => !away.has(one.command) && !here.some((run) => run.id === one.command))
    .flatMap((one) => (isAsk(one.name) ? [ofCommand(one, one.name)] : []));
  // Runs come newest first, whatever a clock did between them. What goes on elsewhere is news; what is over here is not.
  const [last = null] = own;
  return last !== null && !isOver(last) ? last : (told.at(-1) ?? last);
}

function concerns(run: Run, charger: string, evse: number | undefined): boolean {
  if (run.target.charger !== charger || !isAsk(run.name)) return false;
  return evse === undefined || run.target.evse == null || run.target.evse === evse;
}

function ofRun(run: Run, view: View): Ask {
  const stage = run.stage.value;
  const told = view.commands[run.id];
  const name = run.name as AskName;
  const base = {
    id: run.id,
    name,
    path: stage.path,
    answer: stage.answer,
    confirmedMs: stage.ms.confirmed,
  };
  if (stage.at === 'unknown' && told?.state === 'settled') {
    return { ...base, at: 'settled', ...endOf(told), seen: false };
  }
  return {
    ...base,
    at: stage.at,
    outcome: stage.outcome,
    trouble: troubleOf(stage.error),
    session: stage.session,
    seen: sawIt(view, run.id, name, stage.session || (told?.session ?? '')),
  };
}

function troubleOf(error: PlugsideError | null): Trouble | null {
  return error;
}

function ofCommand(told: CommandView, name: AskName): Ask {
  const at: StageName = told.state === 'confirmed' ? 'confirmed' : 'accepted';
  return {
    id: told.command,
    name,
    at,
    path: null,
    answer: told.answer,
    ...endOf(told),
    confirmedMs: undefined,
    seen: false,
  };
}

function endOf(told: CommandView): Pick<Ask, 'outcome' | 'trouble' | 'session'> {
  return {
    outcome: told.outcome,
    trouble: told.code ? { code: told.code } : null,
    session: told.session ?? '',
  };
}

/** Whether the site shows by now that it was carried out, whatever became of its answers. */
function sawIt(view: View, id: string, name: AskName, session: string): boolean {
  if (name === 'start') return Object.values(view.sessions).some((one) => one.command === id);
  if (name === 'stop') return !!session && !!view.sessions[session]?.ended_at;
  return false;
}
