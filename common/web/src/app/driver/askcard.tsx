/** What was asked for and how far it is: never more than the site or the charger has said. */
import type { JSX } from 'preact';
import { said } from '../errors';
import * as format from '../format';
import { Button, Icon, Notice } from '../ui';
import { type Ask, isDone, isOver, isUnknown } from './asks';
import { putOne } from './putaway';
import { type DriverWords, driverWords } from './words';

/** The card below the state. */
export function AskCard({ ask }: { ask: Ask }): JSX.Element {
  const words = driverWords();
  if (isUnknown(ask)) return <Unknown ask={ask} words={words} />;
  if (isOver(ask) && !isDone(ask)) return <NotDone ask={ask} words={words} />;
  if (isDone(ask)) return <Done ask={ask} words={words} />;
  return (
    <section class="asked" data-testid="asked" data-stage={ask.at} role="status">
      <p class="asked-title">
        <span class="spinner" aria-hidden="true" />
        <strong>{words.asking[ask.name]}</strong>
        <span class="muted number">{tookSaid(ask, words)}</span>
      </p>
      <Steps ask={ask} words={words} />
      <p>{stageSaid(ask, words)}</p>
    </section>
  );
}

/** It was done: a line that says so, and goes with a tap. */
function Done({ ask, words }: { ask: Ask; words: DriverWords }): JSX.Element {
  return (
    <section class="asked asked-done" data-testid="asked" data-stage={ask.at} role="status">
      <Icon name="check" size={1.25} />
      <p>
        {words.doneLine[ask.name]} <span class="muted small number">{tookSaid(ask, words)}</span>
      </p>
      <Button kind="quiet" label={`${words.dismiss}: ${words.doneLine[ask.name]}`} onPress={() => putOne(ask.id)}>
        {words.dismiss}
      </Button>
    </section>
  );
}

/** One sentence about how far an ask is that goes on. */
function stageSaid(ask: Ask, words: DriverWords): string {
  if (ask.at === 'asked') return words.askedLine;
  if (ask.at === 'accepted') return words.acceptedLine;
  const answers: Record<string, string> = {
    accepted: words.saidYes,
    scheduled: words.saidLater,
    timeout: words.saidNothing,
  };
  const waits: Partial<Record<Ask['name'], string>> = {
    start: words.waitStart,
    stop: words.waitStop,
    limit: words.waitLimit,
  };
  const answer = answers[ask.answer];
  return answer === undefined ? words.saidNo : `${answer} ${waits[ask.name] ?? ''}`.trim();
}

function tookSaid(ask: Ask, words: DriverWords): string {
  if (ask.confirmedMs === undefined || ask.path === null || ask.answer === NO_ANSWER) return '';
  const seconds = `${format.count(Math.max(0.1, ask.confirmedMs / 1000))} s`;
  return ask.path === 'lan' ? words.tookOnSite(seconds) : words.tookCloud(seconds);
}

/** The charger's end of a call that it did not answer: the box tells so, which is no step further. */
const NO_ANSWER = 'timeout';
const STAGES = ['asked', 'accepted', 'confirmed', 'settled'] as const;

function Steps({ ask, words }: { ask: Ask; words: DriverWords }): JSX.Element {
  const names = [words.stepAsked, words.stepSite, words.stepCharger, words.stepDone];
  const at = ask.at === 'confirmed' && ask.answer === NO_ANSWER ? 'accepted' : ask.at;
  const reached = STAGES.indexOf(at as (typeof STAGES)[number]);
  return (
    <ol class="steps" aria-label={words.steps}>
      {names.map((name, index) => (
        <li key={name} class={index <= reached ? 'step step-done' : 'step'} aria-current={index === reached ? 'step' : undefined}>
          {name}
        </li>
      ))}
    </ol>
  );
}

function NotDone({ ask, words }: { ask: Ask; words: DriverWords }): JSX.Element {
  const { what, next } = said(ask.trouble ?? { code: 'internal' });
  return (
    <div role="alert">
      <Notice
        tone="bad"
        icon="alert"
        title={`${words.asking[ask.name]}: ${what}`}
        testId="not-done"
        action={<Button onPress={() => putOne(ask.id)}>{words.dismiss}</Button>}
      >
        {next}
      </Notice>
    </div>
  );
}

function Unknown({ ask, words }: { ask: Ask; words: DriverWords }): JSX.Element {
  const seen = ask.name === 'start' ? words.unknownSeenStart : words.unknownSeenStop;
  return (
    <div role="alert">
      <Notice
        tone={ask.seen ? 'good' : 'wait'}
        icon={ask.seen ? 'check' : 'question'}
        title={ask.seen ? `${words.asking[ask.name]}: ${seen}` : `${words.asking[ask.name]}: ${words.unknownTitle}`}
        testId="unknown"
        action={<Button onPress={() => putOne(ask.id)}>{words.dismiss}</Button>}
      >
        {ask.seen ? null : words.unknownLine}
      </Notice>
    </div>
  );
}
