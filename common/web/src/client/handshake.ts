/**
 * The client's handshake over a fresh link: proof, then grants or an invite, then welcome.
 *
 * No grant and no invite leaves before the server has signed this link's transcript with the key that was pinned.
 */
import { b64, random } from './bytes';
import { asError, fromWire, PlugsideError } from './errors';
import { LIMITS, type ClientMessage, type Granted, type Proof, type ServerMessage, type Welcome } from './generated';
import { fingerprint, sign, verify, type DeviceKey } from './keys';
import type { Link } from './link';
import { decode, encode } from './messages';
import { followed, type Pinned, type Rotation } from './rotation';
import {
  authMessage,
  isHash,
  isNonce,
  NONCE_BYTES,
  proofMessage,
  redeemMessage,
  type Transcript,
} from './transcript';

/** Certificate hashes in a proof: a year of windows of six days. */
const CERTIFICATES_MAX = 64;
/** Expired grants tried before authentication; the server counts messages until then. */
const RENEWALS_MAX = 3;
const CLIENT_NAME = 'plugside (web)';

/** What is shown to a server that has proved itself. */
export interface Shown {
  readonly key: DeviceKey;
  readonly grants: readonly string[];
  readonly invite?: string;
  readonly device?: string;
  /** Certificates that this very server has proved before to be its own. */
  readonly proven?: readonly string[];
  /** Lists of withdrawn rights to bring along, signed in themselves; those that fit into the first frame. */
  readonly carried?: readonly string[];
  /** How the server was pinned, where it is a box. */
  readonly pinned?: Pinned;
}

/** What a server reads in one frame before it knows us, with room for the rest of it. */
const FIRST_FRAME_CHARS = 16 * 1024 - 64;

/** A link on which both sides are proved. `rest` came after the welcome. */
export interface Opened {
  readonly link: Link;
  readonly transcript: Transcript;
  readonly proof: Proof;
  readonly welcome: Welcome;
  readonly granted: readonly Granted[];
  /** How the box that was pinned came to the key that it proved; empty = it has that very one. */
  readonly rotated: readonly Rotation[];
  /** `performance.now()` when the proof was read. */
  readonly provedAt: number;
  readonly inbox: Inbox;
}

/** A pin is not the server's own: an old one, or slipped in. Those that may be tried next are in `named`. */
export class UntrustedPins extends PlugsideError {
  constructor(readonly named: readonly string[]) {
    super('untrusted_peer', 'a certificate was pinned that the box does not name');
  }
}

/** A link's messages one by one, and afterwards to a listener. */
export class Inbox {
  private readonly queue: ServerMessage[] = [];
  private why: PlugsideError | null = null;
  private wake: (() => void) | null = null;
  private take: ((message: ServerMessage) => void) | null = null;
  private onEnd: ((why: PlugsideError) => void) | null = null;

  constructor(private readonly link: Link) {
    link.listen(
      (text) => this.hear(text),
      (why) => this.end(why),
    );
  }

  private hear(text: string): void {
    let message: ServerMessage;
    try {
      message = decode(text);
    } catch (unreadable) {
      this.fail(asError(unreadable));
      return;
    }
    if (this.take) {
      this.take(message);
      return;
    }
    this.queue.push(message);
    this.wake?.();
  }

  private end(why: PlugsideError): void {
    if (this.why) return;
    this.why = why;
    this.wake?.();
    this.onEnd?.(why);
  }

  fail(why: PlugsideError): void {
    this.end(why);
    this.link.close();
  }

  /** The next message. Rejects with why the link ended. */
  async next(): Promise<ServerMessage> {
    for (;;) {
      const message = this.queue.shift();
      if (message) return message;
      if (this.why) throw this.why;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /** From now on messages go here. */
  listen(take: (message: ServerMessage) => void, ended: (why: PlugsideError) => void): void {
    this.take = take;
    this.onEnd = ended;
    for (const message of this.queue.splice(0)) take(message);
    if (this.why) ended(this.why);
  }
}

/** Run the handshake to the welcome. Rejects with a PlugsideError; the link is closed then. */
export async function authenticate(link: Link, server: string, shown: Shown, timeoutMs: number): Promise<Opened> {
  const inbox = new Inbox(link);
  const timer = setTimeout(
    () => inbox.fail(new PlugsideError('no_path', `${link.peer} did not finish the handshake`)),
    timeoutMs,
  );
  try {
    return await new Handshake(link, inbox, server, shown).run();
  } catch (failed) {
    link.close();
    throw asError(failed);
  } finally {
    clearTimeout(timer);
  }
}

class Handshake {
  private readonly nonce = b64(random(NONCE_BYTES));
  private readonly granted: Granted[] = [];
  private expired: PlugsideError | null = null;
  private readonly renewable: string[];

  constructor(
    private readonly link: Link,
    private readonly inbox: Inbox,
    private readonly server: string,
    private readonly shown: Shown,
  ) {
    this.renewable = shown.grants.slice(0, RENEWALS_MAX);
  }

  private say(message: ClientMessage): void {
    this.link.send(encode(message));
  }

  async run(): Promise<Opened> {
    this.say({ kind: 'hello', versions: LIMITS.versions, nonce: this.nonce, client: CLIENT_NAME });
    const proof = await this.inbox.next();
    const provedAt = performance.now();
    if (proof.kind === 'bye') throw fromWire(proof.code, '', '');
    if (proof.kind !== 'proof') throw new PlugsideError('protocol', 'the server did not prove itself first');
    const rotated = await this.follow(proof);
    const server = rotated.at(-1)?.box ?? this.server;
    const transcript = await checkProof(proof, this.nonce, this.link, server, this.shown.proven ?? []);
    if (this.shown.invite) this.say(await redeem(transcript, this.shown));
    else this.say(withLists(await show(transcript, this.shown.key, this.shown.grants), this.shown.carried ?? []));
    for (;;) {
      const message = await this.inbox.next();
      switch (message.kind) {
        case 'welcome':
          return {
            link: this.link,
            transcript,
            proof,
            welcome: message,
            granted: this.granted,
            rotated,
            provedAt,
            inbox: this.inbox,
          };
        case 'granted':
          this.granted.push(message);
          this.say(await show(transcript, this.shown.key, [message.grant]));
          break;
        case 'refused':
          this.refused(fromWire(message.code, message.message, message.hint));
          break;
        case 'bye':
          throw fromWire(message.code, message.message, message.hint);
        case 'pong':
          break;
        default:
          throw new PlugsideError('protocol', 'a message came before the welcome');
      }
    }
  }

  /** The way from the pinned key to the one that is claimed, if there is one; whether it is held shows in the proof. */
  private async follow(proof: Proof): Promise<readonly Rotation[]> {
    const other = proof.server !== this.server && this.link.path === 'lan' && proof.rotations.length > 0;
    if (!other) return [];
    const pinned = this.shown.pinned ?? { site: '', after: 0, gone: [] };
    return followed(proof.rotations, this.server, proof.key, pinned);
  }

  /** A grant that has run out is worth a try at renewing; anything else ends the attempt. */
  private refused(refusal: PlugsideError): void {
    if (refusal.code === 'grant_expired') this.expired ??= refusal;
    if (!this.expired) throw refusal;
    const grant = this.renewable.shift();
    if (grant === undefined) throw this.expired;
    this.say({ kind: 'renew', grant });
  }
}

/** The message that shows grants on a proved link. */
export async function show(
  transcript: Transcript,
  key: DeviceKey,
  grants: readonly string[],
): Promise<ClientMessage> {
  const message = await authMessage(transcript, key.thumbprint, grants);
  return { kind: 'auth', grants, key: key.public, signature: await sign(key, 'plugside-client-auth-v1', message) };
}

/** The message with as many lists as fit beside it. */
function withLists(message: ClientMessage, lists: readonly string[]): ClientMessage {
  if (message.kind !== 'auth') return message;
  let room = FIRST_FRAME_CHARS - encode(message).length;
  const revocations = [...new Set(lists)].filter((list) => {
    const fits = list.length + 3 <= room;
    if (fits) room -= list.length + 3;
    return fits;
  });
  return revocations.length > 0 ? { ...message, revocations } : message;
}

async function redeem(transcript: Transcript, shown: Shown): Promise<ClientMessage> {
  const secret = shown.invite ?? '';
  const message = await redeemMessage(transcript, shown.key.thumbprint, secret);
  const signature = await sign(shown.key, 'plugside-client-redeem-v1', message);
  return { kind: 'redeem', secret, key: shown.key.public, signature, device: shown.device ?? '' };
}

/** Whether the one who answers is the one that was pinned. Rejects with untrusted_peer or protocol. */
export async function checkProof(
  proof: Proof,
  nonce: string,
  link: Pick<Link, 'path' | 'pins'>,
  server: string,
  proven: readonly string[],
): Promise<Transcript> {
  if (!(LIMITS.versions as readonly number[]).includes(proof.version)) throw new PlugsideError('unsupported_version');
  const sound =
    isNonce(proof.nonce) &&
    proof.path === link.path &&
    proof.certificates.length <= CERTIFICATES_MAX &&
    proof.certificates.every(isHash) &&
    Number.isFinite(Date.parse(proof.time));
  if (!sound) throw new PlugsideError('protocol', "the server's proof is not one");
  if (proof.server !== server || (await named(proof.key)) !== server) throw new PlugsideError('untrusted_peer');
  const transcript = {
    offered: LIMITS.versions,
    version: proof.version,
    clientNonce: nonce,
    serverNonce: proof.nonce,
    server,
    path: link.path,
    certificates: proof.certificates,
  };
  for (const binding of bindings(proof, link, proven)) {
    const whole = { ...transcript, binding };
    const message = proofMessage(whole, proof.time, proof.clock);
    if (await verify(proof.key, proof.signature, 'plugside-server-proof-v1', message)) return whole;
  }
  throw new PlugsideError('untrusted_peer');
}

/**
 * The certificates that the transport may be using. A page is not told which of its pins it met. So every pin has to
 * be the server's own, by this proof or by an earlier one: a pin that somebody else slipped in would let them stand in
 * between and pass the true server's signature on.
 */
function bindings(proof: Proof, link: Pick<Link, 'path' | 'pins'>, proven: readonly string[]): readonly string[] {
  if (link.pins === null) return link.path === 'lan' ? ['', ...proof.certificates] : [''];
  const own = new Set([...proof.certificates, ...proven]);
  if (!link.pins.every((pin) => own.has(pin))) throw new UntrustedPins(proof.certificates);
  return link.pins;
}

async function named(key: string): Promise<string> {
  try {
    return await fingerprint(key);
  } catch {
    return '';
  }
}
