/** What stands where there is nothing to show yet, nothing at all, or nothing to be had: each says the next step. */
import type { ComponentChildren, JSX } from 'preact';
import { type Trouble, said } from '../errors';
import { shellWords } from '../words';
import { Button } from './button';
import { Icon, type IconName } from './icons';

/** Nothing here, and what to do about it. */
export function Empty(props: {
  icon: IconName;
  title: string;
  children?: ComponentChildren | undefined;
  action?: ComponentChildren | undefined;
  testId?: string | undefined;
}): JSX.Element {
  return (
    <div class="empty" data-testid={props.testId}>
      <span class="empty-icon">
        <Icon name={props.icon} size={2.25} />
      </span>
      <h2>{props.title}</h2>
      {props.children ? <div class="muted">{props.children}</div> : null}
      {props.action ? <div class="empty-action">{props.action}</div> : null}
    </div>
  );
}

/** Something is on its way: bars in the place of what comes, so that nothing jumps. */
export function Loading({ rows = 3, label }: { rows?: number | undefined; label?: string | undefined }): JSX.Element {
  const words = shellWords();
  return (
    <div class="loading" role="status">
      <span class="out-of-sight">{label ?? words.loading}</span>
      {Array.from({ length: rows }, (_, index) => (
        <span key={index} class="loading-row" aria-hidden="true" />
      ))}
    </div>
  );
}

/** Something failed: the sentence for it, its next step, and the way to try again. */
export function Failure(props: { trouble: Trouble; onRetry?: (() => void) | undefined; title?: string | undefined }): JSX.Element {
  const words = shellWords();
  const { what, next } = said(props.trouble);
  return (
    <div class="notice tone-bad" role="alert" data-testid="failure">
      <Icon name="alert" />
      <div class="notice-text">
        <strong>{props.title ?? what}</strong>
        {props.title ? <div>{what}</div> : null}
        <div>{next}</div>
      </div>
      {props.onRetry ? (
        <div class="notice-action">
          <Button icon="reload" onPress={props.onRetry}>
            {words.again}
          </Button>
        </div>
      ) : null}
    </div>
  );
}
