import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { unb64, unhex, utf8 } from './bytes';
import { encodeCommand } from './envelope';
import { checkProof, UntrustedPins } from './handshake';
import { deviceKey, fingerprint, sign, thumbprint, verify, type Purpose } from './keys';
import { decode } from './messages';
import type { Proof } from './generated';
import { authMessage, proofMessage, redeemMessage, type Transcript } from './transcript';

const vectors = JSON.parse(
  readFileSync(new URL('../../../../tests/vectors/applink.json', import.meta.url), 'utf8'),
);

const transcript: Transcript = {
  offered: vectors.transcript.offered,
  version: vectors.transcript.version,
  clientNonce: vectors.transcript.client_nonce,
  serverNonce: vectors.transcript.server_nonce,
  server: vectors.transcript.server,
  path: vectors.transcript.path,
  certificates: vectors.transcript.certificates,
  binding: vectors.transcript.binding,
};

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

test('keys have the names that Python gives them', async () => {
  for (const key of [vectors.keys.server, vectors.keys.phone]) {
    expect(await fingerprint(key.public)).toBe(key.fingerprint);
    expect(await thumbprint(key.public)).toBe(key.thumbprint);
  }
});

test('what is signed is the same, byte for byte', async () => {
  const { proof, auth, redeem } = vectors;
  const phone = vectors.keys.phone.thumbprint;
  expect(text(proofMessage(transcript, proof.time, proof.clock))).toBe(proof.message);
  expect(text(await authMessage(transcript, phone, auth.grants))).toBe(auth.message);
  expect(text(await redeemMessage(transcript, phone, redeem.secret))).toBe(redeem.message);
});

test('signatures of Python hold here, and none holds for anything else', async () => {
  const { server, phone } = vectors.keys;
  for (const [key, part] of [
    [server, vectors.proof],
    [phone, vectors.auth],
    [phone, vectors.redeem],
  ] as const) {
    const message = utf8(part.message);
    expect(await verify(key.public, part.signature, part.purpose as Purpose, message)).toBe(true);
    expect(await verify(key.public, part.signature, 'plugside-command-v1', message)).toBe(false);
    expect(await verify(key.public, part.signature, part.purpose as Purpose, utf8(`${part.message} `))).toBe(false);
  }
  expect(await verify('not a key', 'nor a signature', 'plugside-command-v1', utf8(''))).toBe(false);
});

test('a command is encoded as Python encodes it', () => {
  expect(text(encodeCommand(JSON.parse(vectors.command.payload)))).toBe(vectors.command.payload);
});

test('what is signed here holds for the key that signed', async () => {
  const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const raw = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
  const key = await deviceKey(pair.privateKey, Buffer.from(raw).toString('base64url'));
  const signature = await sign(key, 'plugside-command-v1', utf8('charge'));
  expect(unb64(signature)).toHaveLength(64);
  expect(await verify(key.public, signature, 'plugside-command-v1', utf8('charge'))).toBe(true);
});

// --- the proof ----------------------------------------------------------------------------------------------

const { server } = vectors.keys;
const [own, next] = vectors.transcript.certificates as [string, string];
const ATTACKER = 'aa'.repeat(32);

function proofFrame(change: Partial<Proof> = {}): Proof {
  return decode(
    JSON.stringify({
      kind: 'proof',
      version: 1,
      nonce: transcript.serverNonce,
      server: server.fingerprint,
      key: server.public,
      certificates: transcript.certificates,
      path: 'lan',
      time: vectors.proof.time,
      clock: 'synced',
      signature: vectors.proof.signature,
      ...change,
    }),
  ) as Proof;
}

function check(proof: Proof, pins: readonly string[] | null, proven: readonly string[] = [], pinned = server.fingerprint) {
  return checkProof(proof, transcript.clientNonce, { path: 'lan', pins }, pinned, proven);
}

test('the box that was pinned is believed, whichever of its certificates is in use', async () => {
  expect((await check(proofFrame(), [next, own])).binding).toBe(own);
  expect((await check(proofFrame(), null)).binding).toBe(own);
});

test('a proof that is relayed under somebody else’s certificate is not', async () => {
  await expect(check(proofFrame(), [ATTACKER, own])).rejects.toThrow(UntrustedPins);
  await expect(check(proofFrame(), [ATTACKER])).rejects.toThrow(UntrustedPins);
  // A list that names the attacker's is not what the box has signed.
  await expect(check(proofFrame({ certificates: [own, next, ATTACKER] }), [ATTACKER, own])).rejects.toMatchObject({
    code: 'untrusted_peer',
  });
});

test('a certificate of the past, signed for once, keeps nobody out', async () => {
  const old = 'bb'.repeat(32);
  expect((await check(proofFrame(), [old, own], [old])).binding).toBe(own);
});

test('another box, another nonce, another time, another path are refused', async () => {
  const untrusted = { code: 'untrusted_peer' };
  await expect(check(proofFrame(), [own], [], 'x'.repeat(32))).rejects.toMatchObject(untrusted);
  await expect(check(proofFrame({ time: '2027-01-15T08:00:01.000Z' }), [own])).rejects.toMatchObject(untrusted);
  await expect(check(proofFrame({ clock: 'floor' }), [own])).rejects.toMatchObject(untrusted);
  await expect(check(proofFrame({ key: vectors.keys.phone.public }), [own])).rejects.toMatchObject(untrusted);
  await expect(check(proofFrame({ nonce: transcript.clientNonce }), [own])).rejects.toMatchObject(untrusted);
  await expect(check(proofFrame({ path: 'cloud' }), [own])).rejects.toMatchObject({ code: 'protocol' });
  await expect(check(proofFrame({ version: 2 }), [own])).rejects.toMatchObject({ code: 'unsupported_version' });
});

test('hex is read as it is written', () => {
  expect(Buffer.from(unhex(own)).toString('hex')).toBe(own);
});

test('every published proof is judged as it says, and a page is told no more than a native client', async () => {
  const file = new URL('../../../../tests/vectors/proofs.json', import.meta.url);
  for (const published of JSON.parse(readFileSync(file, 'utf8')).cases) {
    // The defaults are left out on the wire; a decoded message has them.
    const proof = decode(JSON.stringify({ clock: 'synced', ...published.proof })) as Proof;
    const pins = published.pins.length === 0 ? null : published.pins;
    const judged = checkProof(proof, published.client_nonce, { path: 'lan', pins }, published.pinned, []);
    const result = await judged.then(
      () => 'ok',
      (refused) => refused.code,
    );
    expect([published.name, result]).toEqual([published.name, published.result]);
  }
});
