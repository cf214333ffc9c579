/** Short words about what has just happened, seen for some seconds and said once to those who listen. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { Icon } from './icons';
import type { Tone } from './parts';

interface Toast {
  id: number;
  text: string;
  tone: Tone;
}

/** At most so many at once: more is a log. */
const SHOWN_MAX = 3;
/** Long enough to read two lines aloud. */
const SHOWN_MS = 7000;

const toasts = signal<readonly Toast[]>([]);
let last = 0;

/** Say this. `tone` 'bad' interrupts who listens; anything else waits its turn. */
export function toast(text: string, tone: Tone = 'good'): void {
  const one = { id: ++last, text, tone };
  toasts.value = [...toasts.value, one].slice(-SHOWN_MAX);
  setTimeout(() => {
    toasts.value = toasts.value.filter((other) => other !== one);
  }, SHOWN_MS);
}

/** Where toasts appear; stands once in the shell, and is there before the first of them, as readers want it. */
export function Toasts(): JSX.Element {
  const calm = toasts.value.filter((one) => one.tone !== 'bad');
  const alarming = toasts.value.filter((one) => one.tone === 'bad');
  return (
    <div class="toasts">
      <div role="status" aria-live="polite">
        {calm.map(drawn)}
      </div>
      <div role="alert" aria-live="assertive">
        {alarming.map(drawn)}
      </div>
    </div>
  );
}

function drawn(one: Toast): JSX.Element {
  return (
    <p key={one.id} class={`toast tone-${one.tone}`}>
      <Icon name={one.tone === 'bad' ? 'alert' : 'check'} size={1.25} />
      <span>{one.text}</span>
    </p>
  );
}
