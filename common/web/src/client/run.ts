/** One command on its way, as the app sees it. Fed by whatever link brings an answer; it only goes forward. */
import { signal, type Signal } from '@preact/signals-core';
import type { StageMessage } from './connection';
import { fromWire, isCode, PlugsideError } from './errors';
import type { CommandView, Name, Target } from './generated';
import type { Run, Stage, StageName, Way } from './types';

const ORDER: readonly StageName[] = ['asked', 'accepted', 'confirmed', 'settled', 'refused', 'unknown'];
const OVER: ReadonlySet<StageName> = new Set(['settled', 'refused', 'unknown']);

export class RunState implements Run {
  readonly stage: Signal<Stage> = signal({
    at: 'asked',
    path: null,
    answer: '',
    outcome: '',
    error: null,
    session: '',
    result: {},
    ms: { asked: 0 },
  });
  readonly over: Promise<Stage>;
  /** The way of each sending, in order. */
  readonly sentBy: Way[] = [];
  private readonly began = performance.now();
  private end!: (stage: Stage) => void;

  constructor(
    readonly id: string,
    readonly site: string,
    readonly name: Name,
    readonly target: Target,
    readonly askedMs: number,
    /** An earlier page may have sent it. */
    private readonly resumed = false,
  ) {
    this.over = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  get isOver(): boolean {
    return OVER.has(this.stage.value.at);
  }

  /** The box has it in its journal. */
  get isAccepted(): boolean {
    return 'accepted' in this.stage.value.ms;
  }

  tell(message: Exclude<StageMessage, { kind: 'refused' }>, path: Way): void {
    if (message.kind === 'accepted') this.reach('accepted', { path });
    else if (message.kind === 'confirmed') {
      this.reach('confirmed', { path, answer: message.answer, result: message.result });
    } else {
      const { outcome, code, session, result } = message;
      const failed = outcome === 'succeeded' ? null : told(code, message.message, message.hint);
      this.reach('settled', { path, outcome, session, result, error: failed });
    }
  }

  /** Nothing was changed: it was refused, or never left this device. */
  refuse(error: PlugsideError, path: Way | null): void {
    this.reach('refused', { path, error });
  }

  /** Nobody can tell what became of it. */
  unknown(error: PlugsideError): void {
    this.reach(this.maybeSent ? 'unknown' : 'refused', { error });
  }

  /** It may have reached the box. */
  get maybeSent(): boolean {
    return this.resumed || this.sentBy.length > 0;
  }

  /** What the site's own state says became of it, also after nobody could tell. */
  observe(seen: CommandView): void {
    if (seen.state !== 'settled' || this.stage.value.at === 'settled' || this.stage.value.at === 'refused') return;
    const error = seen.outcome === 'succeeded' ? null : told(seen.code, '', '');
    const since = performance.now() - this.began;
    const { value } = this.stage;
    this.stage.value = {
      ...value,
      at: 'settled',
      outcome: seen.outcome,
      session: seen.session ?? value.session,
      error,
      ms: { ...value.ms, accepted: value.ms.accepted ?? since, settled: since },
    };
    this.end(this.stage.value);
  }

  private reach(at: StageName, change: Partial<Stage>): void {
    const before = this.stage.value;
    if (this.isOver || ORDER.indexOf(at) <= ORDER.indexOf(before.at)) return;
    const since = performance.now() - this.began;
    const ms = { ...before.ms, [at]: since };
    // A later stage implies the earlier ones.
    if (at === 'confirmed' || at === 'settled') ms.accepted ??= since;
    const path = before.path ?? change.path ?? null;
    this.stage.value = { ...before, ...change, at, path, ms };
    if (OVER.has(at)) this.end(this.stage.value);
  }
}

function told(code: string, message: string, hint: string): PlugsideError {
  return isCode(code) ? fromWire(code, message, hint) : new PlugsideError('internal', '', { message, hint });
}
