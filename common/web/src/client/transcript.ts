/** The handshake's exact bytes: what server and client sign when a link opens (`common/trust/handshake.py`). */
import { sha256Hex, unb64, type Bytes } from './bytes';
import { lines } from './keys';
import type { Path } from './generated';

export const NONCE_BYTES = 32;

/** What both ends agree has happened on this link so far. */
export interface Transcript {
  readonly offered: readonly number[];
  readonly version: number;
  readonly clientNonce: string;
  readonly serverNonce: string;
  /** Fingerprint of the server's identity. */
  readonly server: string;
  readonly path: Path;
  /** SHA-256 of the certificates that the server serves now and next, hex. */
  readonly certificates: readonly string[];
  /** The one in use; empty where the transport has none of its own. */
  readonly binding: string;
}

function fields(transcript: Transcript): string[] {
  return [
    transcript.offered.join(','),
    String(transcript.version),
    transcript.clientNonce,
    transcript.serverNonce,
    transcript.server,
    transcript.path,
    transcript.certificates.join(','),
    transcript.binding,
  ];
}

/** What the server signs. */
export function proofMessage(transcript: Transcript, time: string, clock: string): Bytes {
  return lines(...fields(transcript), time, clock);
}

/** What the client signs to show grants. `key`: its thumbprint. */
export async function authMessage(transcript: Transcript, key: string, grants: readonly string[]): Promise<Bytes> {
  return lines(...fields(transcript), key, ...(await Promise.all(grants.map(sha256Hex))));
}

/** What the client signs to redeem an invite. */
export async function redeemMessage(transcript: Transcript, key: string, secret: string): Promise<Bytes> {
  return lines(...fields(transcript), key, await sha256Hex(secret));
}

export function isNonce(text: string): boolean {
  try {
    return unb64(text).length === NONCE_BYTES;
  } catch {
    return false;
  }
}

export function isHash(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}
