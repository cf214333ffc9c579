/** What a page lives through: it is hidden and shown, its network comes and goes; and what it has kept. */
import { viewOf } from './fold';
import type { Kept } from './store';

/** Be where the person looks: `retry` when the page or the network is back, `keep` when it goes. Returns the end. */
export function watchPage(retry: () => void, keep: () => void): () => void {
  if (typeof document === 'undefined') return () => {};
  const ends: (() => void)[] = [];
  const on = (target: EventTarget, name: string, work: () => void) => {
    target.addEventListener(name, work);
    ends.push(() => target.removeEventListener(name, work));
  };
  on(document, 'visibilitychange', () => (document.visibilityState === 'visible' ? retry() : keep()));
  on(globalThis, 'pagehide', keep);
  on(globalThis, 'pageshow', retry);
  on(globalThis, 'online', retry);
  return () => {
    for (const end of ends) end();
  };
}

/** What was kept of a site, if it can still be read. */
export function readable(kept: Kept | undefined): Kept | undefined {
  if (!kept) return undefined;
  try {
    return { ...kept, view: viewOf({ view: kept.view, epoch: kept.view.epoch, seq: kept.view.seq }) };
  } catch {
    return undefined;
  }
}
