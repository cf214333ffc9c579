/**
 * Keys: P-256 as WebCrypto has it. The device's own is made so that no script can ever read it; others' are read from
 * the wire. A signature is the raw r‖s, over a purpose and a message (`common/trust/keys.py`).
 */
import { b64, base32, sha256, unb64, utf8, type Bytes } from './bytes';
import { PlugsideError } from './errors';

export type Purpose =
  | 'plugside-command-v1'
  | 'plugside-client-auth-v1'
  | 'plugside-client-redeem-v1'
  | 'plugside-server-proof-v1'
  | 'plugside-succession-v1'
  | 'plugside-rotation-v1';

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' } as const;
const POINT_BYTES = 65;
const FINGERPRINT_CHARS = 32;

/** This device's key. `private` cannot be exported, only used. */
export interface DeviceKey {
  readonly private: CryptoKey;
  /** Uncompressed point, base64url. */
  readonly public: string;
  /** JWK thumbprint (RFC 7638): what a grant is bound to. */
  readonly thumbprint: string;
}

export async function makeKey(): Promise<DeviceKey> {
  const pair = await crypto.subtle.generateKey(CURVE, false, ['sign', 'verify']);
  return deviceKey(pair.privateKey, b64(new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey))));
}

export async function deviceKey(privateKey: CryptoKey, publicKey: string): Promise<DeviceKey> {
  return { private: privateKey, public: publicKey, thumbprint: await thumbprint(publicKey) };
}

function covered(purpose: Purpose, message: Uint8Array): Bytes {
  const head = utf8(`${purpose}|`);
  const whole = new Uint8Array(head.length + message.length);
  whole.set(head);
  whole.set(message, head.length);
  return whole;
}

export async function sign(key: DeviceKey, purpose: Purpose, message: Uint8Array): Promise<string> {
  return b64(new Uint8Array(await crypto.subtle.sign(SIGNING, key.private, covered(purpose, message))));
}

/** Whether `publicKey` signed this for this purpose. False for anything that is no key or no signature. */
export async function verify(
  publicKey: string,
  signature: string,
  purpose: Purpose,
  message: Uint8Array,
): Promise<boolean> {
  try {
    const key = await crypto.subtle.importKey('raw', point(publicKey), CURVE, false, ['verify']);
    return await crypto.subtle.verify(SIGNING, key, unb64(signature), covered(purpose, message));
  } catch {
    return false;
  }
}

function point(publicKey: string): Bytes {
  const data = unb64(publicKey);
  if (data.length !== POINT_BYTES || data[0] !== 4) throw new RangeError('not an uncompressed P-256 point');
  return data;
}

/** A key's name: base32 of SHA-256 over its bytes. Throws RangeError when it is no base64url. */
export async function fingerprint(publicKey: string): Promise<string> {
  return base32(await sha256(unb64(publicKey))).slice(0, FINGERPRINT_CHARS);
}

/** The JWK thumbprint of a P-256 key. Throws RangeError when it is none. */
export async function thumbprint(publicKey: string): Promise<string> {
  const data = point(publicKey);
  const x = b64(data.subarray(1, 33));
  const y = b64(data.subarray(33));
  return b64(await sha256(utf8(`{"crv":"P-256","kty":"EC","x":"${x}","y":"${y}"}`)));
}

/** Fields as the message of a signature, one a line. Throws protocol on a field with a line break. */
export function lines(...fields: readonly string[]): Bytes {
  if (fields.some((field) => field.includes('\n'))) {
    throw new PlugsideError('protocol', 'a signed field holds a line break');
  }
  return utf8(fields.join('\n'));
}
