/** Buttons: 48 px and more, one primary a screen, and a busy one says so instead of pretending. */
import type { ComponentChildren, JSX } from 'preact';
import { Icon, type IconName } from './icons';

export type ButtonKind = 'primary' | 'secondary' | 'quiet' | 'danger';

export interface ButtonProps {
  children: ComponentChildren;
  onPress?: (() => void) | undefined;
  kind?: ButtonKind | undefined;
  icon?: IconName | undefined;
  /** As wide as what it stands in. */
  wide?: boolean | undefined;
  /** Larger still: the one thing that a screen is for. */
  big?: boolean | undefined;
  busy?: boolean | undefined;
  disabled?: boolean | undefined;
  submit?: boolean | undefined;
  /** For readers, where the visible text alone says too little. */
  label?: string | undefined;
  /** What it opens or closes is open. */
  expanded?: boolean | undefined;
  testId?: string | undefined;
}

/** A button. While `busy` it keeps its place and takes no tap. */
export function Button(props: ButtonProps): JSX.Element {
  const { kind = 'secondary', busy = false, disabled = false } = props;
  const classes = ['button', `button-${kind}`];
  if (props.wide) classes.push('button-wide');
  if (props.big) classes.push('button-big');
  return (
    <button
      type={props.submit ? 'submit' : 'button'}
      class={classes.join(' ')}
      onClick={busy ? undefined : props.onPress}
      disabled={disabled}
      aria-disabled={busy || undefined}
      aria-busy={busy || undefined}
      aria-label={props.label}
      aria-expanded={props.expanded}
      data-testid={props.testId}
    >
      {busy ? <span class="spinner" aria-hidden="true" /> : props.icon ? <Icon name={props.icon} /> : null}
      <span>{props.children}</span>
    </button>
  );
}

/** A link that looks and is sized like a button. */
export function ButtonLink(props: {
  href: string;
  children: ComponentChildren;
  kind?: ButtonKind | undefined;
  icon?: IconName | undefined;
  wide?: boolean | undefined;
  download?: string | undefined;
}): JSX.Element {
  const classes = ['button', `button-${props.kind ?? 'secondary'}`, props.wide ? 'button-wide' : ''];
  return (
    <a class={classes.join(' ').trim()} href={props.href} download={props.download}>
      {props.icon ? <Icon name={props.icon} /> : null}
      <span>{props.children}</span>
    </a>
  );
}
