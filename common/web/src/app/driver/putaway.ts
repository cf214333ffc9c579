/** Asks that the person has read and put away. */
import { signal } from '@preact/signals';

export const putAway = signal<ReadonlySet<string>>(new Set());

/** Do not show this one again. */
export function putOne(id: string): void {
  putAway.value = new Set([...putAway.value, id]);
}
