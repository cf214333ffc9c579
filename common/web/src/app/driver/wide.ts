/** Whether there is room for a list and what was opened from it, side by side. */
import { signal } from '@preact/signals';

const query = typeof matchMedia === 'undefined' ? undefined : matchMedia('(min-width: 56rem)');
const wide = signal(query?.matches ?? false);
query?.addEventListener('change', (event) => {
  wide.value = event.matches;
});

export function useWide(): boolean {
  return wide.value;
}
