/**
 * Small things that this device keeps for the app's own comfort (language, last look): never a secret or a right.
 *
 * Storage may be denied or full; then they are forgotten with the tab, and nothing else happens.
 */
const PREFIX = 'plugside.app.';
const held = new Map<string, string>();

/** What was kept under this name; undefined when there is none. */
export function kept(name: string): string | undefined {
  try {
    return localStorage.getItem(PREFIX + name) ?? held.get(name);
  } catch {
    return held.get(name);
  }
}

/** Keep a small text, or forget it (undefined). */
export function keep(name: string, value: string | undefined): void {
  if (value === undefined) held.delete(name);
  else held.set(name, value);
  try {
    if (value === undefined) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    // Kept for this tab.
  }
}
