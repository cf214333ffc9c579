/**
 * Where the app is, kept in the address's fragment: no server ever sees it, and a static host needs no rules.
 *
 *     #/chargers            #/at/SITE/CHARGER      #/history/SITE/SESSION
 *     #join=plugside1_…     an invite: taken out of the address at once, so that it stays in no history
 */
import { signal } from '@preact/signals';

/** The segments of the path, decoded. */
export const route = signal<readonly string[]>([]);

/** An invite that the address carried when the app was opened or while it ran; taken by the join screen. */
export const carried = signal('');

/** Anything that is written like an invite or a box's code; what is wrong with it is said when it is read. */
const TICKET = /^plugside[a-z]*\d+_/;

/** How invites are linked to: whatever follows is read by the join screen. */
const JOIN = 'join=';

/** The link to a place in the app. */
export function href(...segments: string[]): string {
  return `#/${segments.map(encodeURIComponent).join('/')}`;
}

/** Go to a place; `replace` leaves no way back to the present one. */
export function go(segments: readonly string[], replace = false): void {
  const target = href(...segments);
  if (replace) {
    history.replaceState(null, '', target);
    read();
  } else if (location.hash === target) read();
  else location.hash = target;
}

/** One step back, or to `otherwise` when the app was opened right here. */
export function back(otherwise: readonly string[]): void {
  if (history.length > 1 && document.referrer === '' && stepped) history.back();
  else go(otherwise, true);
}

let stepped = false;

/** The segments of a fragment, or the invite that is in it. */
export function parse(fragment: string): { segments: string[]; invite: string } {
  const text = fragment.startsWith('#') ? fragment.slice(1) : fragment;
  const plain = decoded(text);
  if (TICKET.test(plain)) return { segments: ['join'], invite: plain };
  if (plain.startsWith(JOIN)) return { segments: ['join'], invite: plain.slice(JOIN.length) };
  const segments = text.split('/').filter(Boolean).map(decoded);
  if (segments[0] === 'join' && segments.length > 1) {
    return { segments: ['join'], invite: segments.slice(1).join('/') };
  }
  return { segments, invite: '' };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray % is somebody else's link; the screen for unknown places says so
  }
}

function read(): void {
  const { segments, invite } = parse(location.hash);
  if (invite) {
    carried.value = invite;
    history.replaceState(null, '', href('join'));
  }
  route.value = segments;
}

/** Follow the address from now on. */
export function startRouter(): void {
  read();
  addEventListener('hashchange', () => {
    stepped = true;
    read();
  });
}
