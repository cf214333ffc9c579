/** A command on its way, in words: never more than is known, and what to do where it did not work. */
import type { JSX } from 'preact';
import type { Run, Stage } from '../../client';
import { said } from '../errors';
import { Badge, Icon, type Tone } from '../ui';
import { operatorWords, wordFor } from './words';

/** The word for how far it is. */
export function stageName(stage: Stage): string {
  return stage.at === 'settled' ? stage.outcome : stage.at;
}

function toneOf(name: string): Tone {
  if (name === 'succeeded') return 'good';
  if (name === 'failed' || name === 'refused') return 'bad';
  return name === 'unknown' ? 'wait' : 'flow';
}

/** One command and how far it is. */
export function RunLine({ run }: { run: Run }): JSX.Element {
  const words = operatorWords();
  const stage = run.stage.value;
  const name = stageName(stage);
  const failed = stage.error === null ? null : said(stage.error);
  return (
    <div class="op-run" role="status" data-testid={`op-run-${run.name}`} data-stage={name}>
      <div class="op-run-head">
        <strong>{wordFor(words.commandNames, run.name)}</strong>
        <Badge tone={toneOf(name)}>{wordFor(words.stages, name)}</Badge>
      </div>
      {stage.answer && name === 'confirmed' ? (
        <p class="muted">{words.answered(wordFor(words.answers, stage.answer))}</p>
      ) : null}
      {failed ? (
        <p>
          {failed.what} {failed.next}
        </p>
      ) : null}
      {name === 'unknown' ? (
        <p class="op-look">
          <Icon name="alert" size={1.125} /> {words.lookAtCharger}
        </p>
      ) : null}
    </div>
  );
}
