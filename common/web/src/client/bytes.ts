/** Bytes and their spellings: base64url in its one spelling, hex, base32, SHA-256. */

export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();

export function utf8(text: string): Bytes {
  return encoder.encode(text);
}

/** base64url without padding (RFC 4648 §5). */
export function b64(data: Uint8Array): string {
  let text = '';
  for (let at = 0; at < data.length; at += 8192) {
    text += String.fromCharCode(...data.subarray(at, at + 8192));
  }
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Read `b64`'s spelling and no other. Throws RangeError. */
export function unb64(text: string): Bytes {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new RangeError('not base64url');
  let data: Bytes;
  try {
    const plain = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
    data = Uint8Array.from(plain, (character) => character.charCodeAt(0));
  } catch {
    throw new RangeError('not base64url');
  }
  if (b64(data) !== text) throw new RangeError('not base64url in its one spelling');
  return data;
}

export function hex(data: Uint8Array): string {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Read lower-case hex. */
export function unhex(text: string): Bytes {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** Lower-case base32 (RFC 4648 §6) without padding. */
export function base32(data: Uint8Array): string {
  let text = '';
  let bits = 0;
  let held = 0;
  for (const byte of data) {
    held = ((held << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += BASE32[(held >> bits) & 31];
    }
  }
  return bits > 0 ? text + BASE32[(held << (5 - bits)) & 31] : text;
}

export async function sha256(data: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', data));
}

export async function sha256Hex(text: string): Promise<string> {
  return hex(await sha256(utf8(text)));
}

export function random(size: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(size));
}

/** A UUIDv7 (RFC 9562 §5.7): in order of time, to the millisecond. */
export function uuid7(nowMs: number): string {
  const data = random(16);
  for (let at = 0; at < 6; at += 1) data[at] = Math.floor(nowMs / 2 ** (8 * (5 - at))) & 0xff;
  data[6] = 0x70 | ((data[6] ?? 0) & 0x0f);
  data[8] = 0x80 | ((data[8] ?? 0) & 0x3f);
  const text = hex(data);
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join('-');
}
