/** Form fields: a label always, a hint, and an error that is said where it happened. */
import type { ComponentChildren, JSX } from 'preact';
import { useId } from 'preact/hooks';

export interface FieldProps {
  label: string;
  value: string;
  onInput: (value: string) => void;
  hint?: string | undefined;
  error?: string | undefined;
  type?: 'text' | 'search' | 'number' | 'date' | 'datetime-local' | 'month' | undefined;
  /** A larger field for pasted text. */
  lines?: number | undefined;
  placeholder?: string | undefined;
  required?: boolean | undefined;
  maxLength?: number | undefined;
  min?: number | undefined;
  max?: number | undefined;
  step?: number | undefined;
  inputMode?: 'text' | 'numeric' | 'decimal' | 'search' | undefined;
  autocomplete?: string | undefined;
  testId?: string | undefined;
}

/** A text field, or a text area when it has `lines`. */
export function Field(props: FieldProps): JSX.Element {
  const id = useId();
  const told = [props.hint ? `${id}-hint` : '', props.error ? `${id}-error` : ''].filter(Boolean).join(' ');
  const shared = {
    id,
    value: props.value,
    placeholder: props.placeholder,
    required: props.required,
    maxLength: props.maxLength,
    autocomplete: props.autocomplete ?? 'off',
    'aria-describedby': told || undefined,
    'aria-invalid': props.error ? true : undefined,
    'data-testid': props.testId,
  };
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.lines ? (
        <textarea
          {...shared}
          rows={props.lines}
          spellcheck={false}
          autocapitalize="off"
          onInput={(event) => props.onInput(event.currentTarget.value)}
        />
      ) : (
        <input
          {...shared}
          type={(props.type ?? 'text') as 'text'}
          min={props.min}
          max={props.max}
          step={props.step}
          inputMode={props.inputMode}
          onInput={(event) => props.onInput(event.currentTarget.value)}
        />
      )}
      {props.hint ? (
        <p id={`${id}-hint`} class="field-hint">
          {props.hint}
        </p>
      ) : null}
      {props.error ? (
        <p id={`${id}-error`} class="field-error" role="alert">
          {props.error}
        </p>
      ) : null}
    </div>
  );
}

/** One of many, in the platform's own list. */
export function Select<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
  testId?: string | undefined;
}): JSX.Element {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <select
        id={id}
        value={props.value}
        data-testid={props.testId}
        onChange={(event) => props.onChange(event.currentTarget.value as T)}
      >
        {props.options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}

/** Yes or no. */
export function Check(props: {
  label: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
  hint?: string | undefined;
}): JSX.Element {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={props.checked}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
      <span>
        {props.label}
        {props.hint ? <small class="muted">{props.hint}</small> : null}
      </span>
    </label>
  );
}

/** Fields above their buttons; Enter sends it. */
export function Form(props: { onSubmit: () => void; children: ComponentChildren; label?: string | undefined }): JSX.Element {
  return (
    <form
      class="form"
      aria-label={props.label}
      onSubmit={(event) => {
        event.preventDefault();
        props.onSubmit();
      }}
    >
      {props.children}
    </form>
  );
}
