/** A command's exact bytes, the key that signed them and the signature, as one string (`common/trust/envelope.py`). */
import { b64, utf8, type Bytes } from './bytes';
import { sign, type DeviceKey } from './keys';
import type { Command } from './generated';

/** The bytes that get signed, and that the box reads. */
export function encodeCommand(command: Command): Bytes {
  const { site, id, name, target, args, expires_at: expiresAt } = command;
  const whole = { site, id, name, target, ...(args && Object.keys(args).length ? { args } : {}), expires_at: expiresAt };
  return utf8(JSON.stringify(whole));
}

export async function seal(payload: Uint8Array, key: DeviceKey): Promise<string> {
  return `${b64(payload)}.${key.public}.${await sign(key, 'plugside-command-v1', payload)}`;
}
