/** The small parts that screens are put together from: badge, card, row, list, facts, tabs of a choice. */
import type { ComponentChildren, JSX } from 'preact';
import { useId } from 'preact/hooks';
import { Icon, type IconName } from './icons';

/** What a state means for the person who looks: the colour's name, never the only sign. */
export type Tone = 'good' | 'flow' | 'wait' | 'bad' | 'off';

/** A word about a state, with its icon. */
export function Badge(props: { tone: Tone; icon?: IconName | undefined; children: ComponentChildren }): JSX.Element {
  return (
    <span class={`badge tone-${props.tone}`}>
      {props.icon ? <Icon name={props.icon} size={1} /> : <span class="dot" aria-hidden="true" />}
      <span>{props.children}</span>
    </span>
  );
}

/** A surface that holds what belongs together. */
export function Card(props: { title?: string | undefined; children: ComponentChildren; action?: ComponentChildren | undefined }): JSX.Element {
  const id = useId();
  return (
    <section class="card" aria-labelledby={props.title ? id : undefined}>
      {props.title ? (
        <header class="card-head">
          <h2 id={id}>{props.title}</h2>
          {props.action}
        </header>
      ) : null}
      {props.children}
    </section>
  );
}

/** Rows under each other. */
export function List(props: { children: ComponentChildren; label?: string | undefined }): JSX.Element {
  return (
    <ul class="list" aria-label={props.label}>
      {props.children}
    </ul>
  );
}

export interface RowProps {
  title: ComponentChildren;
  detail?: ComponentChildren | undefined;
  leading?: ComponentChildren | undefined;
  trailing?: ComponentChildren | undefined;
  href?: string | undefined;
  onPress?: (() => void) | undefined;
  /** It is the one that is open beside the list. */
  current?: boolean | undefined;
  testId?: string | undefined;
}

/** A row of a list: a link, a button, or plain. */
export function Row(props: RowProps): JSX.Element {
  const inner = (
    <>
      {props.leading ? <span class="row-leading">{props.leading}</span> : null}
      <span class="row-text">
        <span class="row-title">{props.title}</span>
        {props.detail ? <span class="row-detail">{props.detail}</span> : null}
      </span>
      {props.trailing ? <span class="row-trailing">{props.trailing}</span> : null}
      {props.href || props.onPress ? <Icon name="next" size={1.125} /> : null}
    </>
  );
  const current = props.current ? 'true' : undefined;
  let row = <div class="row">{inner}</div>;
  if (props.href) {
    row = (
      <a class="row row-live" href={props.href} aria-current={current} data-testid={props.testId}>
        {inner}
      </a>
    );
  } else if (props.onPress) {
    row = (
      <button type="button" class="row row-live" onClick={props.onPress} data-testid={props.testId}>
        {inner}
      </button>
    );
  }
  return <li>{row}</li>;
}

/** Names and values under each other: [name, value] pairs; values that are empty are left out. */
export function Facts({ rows }: { rows: readonly (readonly [string, ComponentChildren])[] }): JSX.Element {
  return (
    <dl class="facts">
      {rows
        .filter(([, value]) => value !== undefined && value !== '' && value !== null)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd class="number">{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** One of a few. Keyboard: arrows, as the platform does it. */
export function Choice<T extends string>(props: {
  label: string;
  options: readonly (readonly [T, string])[];
  value: T;
  onChange: (value: T) => void;
  hideLabel?: boolean | undefined;
}): JSX.Element {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class={props.hideLabel ? 'out-of-sight' : ''}>{props.label}</legend>
      <div class="choice-row">
        {props.options.map(([value, text]) => (
          <label key={value} class="choice-one">
            <input
              type="radio"
              name={name}
              value={value}
              checked={value === props.value}
              onChange={() => props.onChange(value)}
            />
            <span>{text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** A notice that stands in the page: something is off, and here is what it means. */
export function Notice(props: {
  tone: Tone;
  icon?: IconName | undefined;
  title?: string | undefined;
  children?: ComponentChildren | undefined;
  action?: ComponentChildren | undefined;
  testId?: string | undefined;
}): JSX.Element {
  return (
    <div class={`notice tone-${props.tone}`} data-testid={props.testId}>
      {props.icon ? <Icon name={props.icon} /> : null}
      <div class="notice-text">
        {props.title ? <strong>{props.title}</strong> : null}
        {props.children ? <div>{props.children}</div> : null}
      </div>
      {props.action ? <div class="notice-action">{props.action}</div> : null}
    </div>
  );
}
