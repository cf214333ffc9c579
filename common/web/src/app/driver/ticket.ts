/** What a QR, a link or a pasted text is: an invite, a place in this app, or something else. Pure. */
import { parse } from '../router';

export type Ticket =
  | { readonly is: 'invite'; readonly text: string }
  | { readonly is: 'place'; readonly segments: readonly string[] }
  | { readonly is: 'other'; readonly text: string };

/** As much of a stranger's text as is shown. */
const SHOWN_CHARS = 60;

const INVITE = /plugside[a-z]*\d+_[A-Za-z0-9_-]+/;

/** `origin`: this app's own, whose links lead to places of it. */
export function read(text: string, origin: string): Ticket {
  const plain = text.trim();
  const invite = INVITE.exec(plain)?.[0];
  if (invite !== undefined) return { is: 'invite', text: plain.startsWith('plugside') ? plain : invite };
  const [address = '', fragment] = plain.split('#', 2);
  if (fragment !== undefined && address.replace(/\/$/, '') === origin) {
    const { segments } = parse(`#${fragment}`);
    if (segments[0] === 'at' && segments.length > 1) return { is: 'place', segments };
  }
  return { is: 'other', text: plain.length > SHOWN_CHARS ? `${plain.slice(0, SHOWN_CHARS)} …` : plain };
}
