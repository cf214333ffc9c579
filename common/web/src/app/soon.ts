/** What is live comes first and what is asked for a moment behind: ask again a few times. */
import { useEffect } from 'preact/hooks';

/** When, in ms after it was done. */
const SOON_MS = [150, 700, 2000, 5000];

/** Ask again at each of these times; returns what stops it. */
export function soon(again: () => void): () => void {
  const timers = SOON_MS.map((ms) => setTimeout(again, ms));
  return () => timers.forEach(clearTimeout);
}

/** Ask again soon, for as long as the answer is `behind` what is shown live. */
export function useSoon(behind: boolean, again: () => void): void {
  useEffect(() => (behind ? soon(again) : undefined), [behind]);
}
