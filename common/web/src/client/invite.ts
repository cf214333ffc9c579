/** Invites as a person brings them: a line of text, a link with it in its fragment, or what a QR code held. */
import { unb64 } from './bytes';
import { PlugsideError } from './errors';
import { isHash } from './transcript';

const INVITE = 'plugside1_';
const BOX_CODE = 'plugsidebox1_';
const SECRET_BYTES = 16;
const TEXT_CHARS_MAX = 2048;
const PLACES_MAX = 8;

/** What an invite says (`common/trust/invites.py`). */
export interface Invite {
  readonly secret: string;
  /** Identity fingerprint of who made it, and alone redeems it. */
  readonly server: string;
  readonly expiresMs: number;
  readonly urls: readonly string[];
  readonly addresses: readonly string[];
  readonly certificates: readonly string[];
}

function bad(detail = ''): PlugsideError {
  return new PlugsideError('bad_invite', detail);
}

/** The invite inside of what was pasted, scanned or followed. Throws bad_invite with what is wrong. */
export function readInvite(text: string): Invite {
  const line = unwrap(text.trim());
  const prefix = [INVITE, BOX_CODE].find((known) => line.startsWith(known));
  if (prefix === undefined) throw bad(`it starts with ${INVITE}`);
  const cut = bad('copy it whole, from the first character to the last');
  if (line.length > TEXT_CHARS_MAX) throw cut;
  try {
    return ticket(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(unb64(line.slice(prefix.length)))));
  } catch {
    throw cut;
  }
}

/** A link's fragment holds the invite as `join`; anything else is taken as it is. */
function unwrap(text: string): string {
  const at = text.indexOf('#');
  if (at < 0) return text;
  const found = new URLSearchParams(text.slice(at + 1)).get('join');
  return found ?? text;
}

function ticket(value: unknown): Invite {
  if (!Array.isArray(value)) throw bad();
  const [secret, server, expires, urls = [], addresses = [], certificates = []] = value as unknown[];
  if (typeof secret !== 'string' || unb64(secret).length !== SECRET_BYTES) throw bad();
  if (typeof server !== 'string' || !Number.isSafeInteger(expires)) throw bad();
  return {
    secret,
    server,
    expiresMs: (expires as number) * 1000,
    urls: texts(urls),
    addresses: texts(addresses),
    certificates: texts(certificates, 64).filter(isHash),
  };
}

function texts(value: unknown, most = PLACES_MAX): readonly string[] {
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string')) throw bad();
  return (value as string[]).slice(0, most);
}

/** The host of a URL, for people; what is none is shown as it is. */
export function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}
