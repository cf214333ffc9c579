/**
 * A box or a cloud in memory, at the other end of a link: it proves itself with a real key, and does with what it is
 * told what a test says. For tests of the client; not part of what is shipped.
 */
import { b64, random, sha256Hex } from './bytes';
import { PlugsideError } from './errors';
import type { ClientMessage, Granted, ServerMessage, SiteAccess } from './generated';
import { deviceKey, fingerprint, lines, sign, type DeviceKey } from './keys';
import type { Link } from './link';
import { proofMessage } from './transcript';

/** When its tests take place, in s. */
export const NOW_S = Date.parse('2027-01-15T08:00:00.000Z') / 1000;

/** A client's patience with it. */
export const PACE = { cloudDelayMs: 5, silenceMs: 40, retryBaseMs: 5, retryCapMs: 20, pingEveryMs: 1000, pongWithinMs: 200 };

/** What the wire would have: defaults may be left out. */
type Said = { readonly kind: ServerMessage['kind'] } & Readonly<Record<string, unknown>>;

export class FakeServer {
  /** Everything that clients have said, in order. */
  readonly heard: ClientMessage[] = [];
  readonly links = new Set<Call>();
  /** What is shown on `auth`: the sites, or a refusal's code. */
  sites: Partial<SiteAccess>[] = [];
  refuses: string | null = null;
  /** What `renew` brings; null = it is refused. */
  renews: (() => Partial<Granted>) | null = null;
  /** With what it is refused. */
  renewRefusal = 'bad_grant';
  /** What an invite brings; null = it is refused. */
  grants: (() => object) | null = null;
  /** Called for each command. */
  onCommand: (message: Extract<ClientMessage, { kind: 'command' }>, call: Call) => void = () => {};
  /** A site's snapshot. */
  snapshot: (site: string) => Said | null = () => null;
  certificates: readonly string[] = [];
  /** New links cannot be had. */
  down = false;
  nowMs = NOW_S * 1000;

  private constructor(
    readonly path: 'lan' | 'cloud',
    public key: DeviceKey,
    public id: string,
  ) {}

  /** How it came to its key. */
  rotations: readonly string[] = [];

  /** Go on with another key, by a statement of both. Returns the key before. */
  async rotate(site: string, fresh?: FakeServer): Promise<DeviceKey> {
    const before = this.key;
    const next = fresh ?? (await FakeServer.make(this.path));
    const number = this.rotations.length + 1;
    const message = lines(site, before.public, next.key.public, String(number), '1800000000');
    const by = await Promise.all([before, next.key].map((one) => sign(one, 'plugside-rotation-v1', message)));
    const told = JSON.stringify([site, before.public, next.key.public, number, 1800000000, ...by]);
    this.rotations = [...this.rotations, b64(new TextEncoder().encode(told))];
    this.key = next.key;
    this.id = next.id;
    return before;
  }

  static async make(path: 'lan' | 'cloud'): Promise<FakeServer> {
    const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
    const raw = b64(new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey)));
    return new FakeServer(path, await deviceKey(pair.privateKey, raw), await fingerprint(raw));
  }

  /** A link from a client's side. `binding`: the certificate that it met. */
  async dial(pins: readonly string[] | null, binding = ''): Promise<Link> {
    if (this.down) throw new PlugsideError('no_path', 'down');
    const call = new Call(this, binding, pins);
    this.links.add(call);
    return call;
  }

  /** Say something to everybody who is connected. */
  push(message: Said): void {
    for (const call of this.links) call.say(message);
  }

  cut(): void {
    for (const call of [...this.links]) call.close();
  }

  told<K extends ClientMessage['kind']>(kind: K): Extract<ClientMessage, { kind: K }>[] {
    return this.heard.filter((one): one is Extract<ClientMessage, { kind: K }> => one.kind === kind);
  }
}

/** One connection, of which the client holds the `Link`. */
export class Call implements Link {
  readonly path;
  readonly peer = 'fake';
  private frame: ((text: string) => void) | null = null;
  private ended: ((why: PlugsideError) => void) | null = null;
  private readonly waiting: string[] = [];
  private open = true;

  constructor(
    private readonly server: FakeServer,
    private readonly binding: string,
    readonly pins: readonly string[] | null,
  ) {
    this.path = server.path;
  }

  send(text: string): void {
    const message = JSON.parse(text) as ClientMessage;
    if (!this.open) return;
    this.server.heard.push(message);
    void this.answer(message);
  }

  listen(frame: (text: string) => void, ended: (why: PlugsideError) => void): void {
    this.frame = frame;
    this.ended = ended;
    for (const text of this.waiting.splice(0)) frame(text);
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    this.server.links.delete(this);
    queueMicrotask(() => this.ended?.(new PlugsideError('no_path', 'hung up')));
  }

  say(message: Said): void {
    const text = JSON.stringify(message);
    queueMicrotask(() => {
      if (!this.open) return;
      if (this.frame) this.frame(text);
      else this.waiting.push(text);
    });
  }

  private get time(): string {
    return new Date(this.server.nowMs).toISOString();
  }

  private welcome(): void {
    this.say({ kind: 'welcome', sites: this.server.sites, time: this.time });
  }

  private async answer(message: ClientMessage): Promise<void> {
    const { server } = this;
    switch (message.kind) {
      case 'hello':
        await this.prove(message.nonce);
        break;
      case 'auth':
        if (server.refuses) this.say({ kind: 'refused', code: server.refuses, message: '' });
        else this.welcome();
        break;
      case 'redeem':
        if (server.grants) this.say({ kind: 'granted', ...server.grants() });
        else this.say({ kind: 'refused', code: 'bad_invite', message: '' });
        break;
      case 'renew':
        if (server.renews) this.say({ kind: 'granted', ...server.renews() });
        else this.say({ kind: 'refused', code: server.renewRefusal, message: '' });
        break;
      case 'follow':
        for (const site of message.sites) {
          const snapshot = server.snapshot(site);
          if (snapshot) this.say(snapshot);
        }
        break;
      case 'command':
        server.onCommand(message, this);
        break;
      case 'ping':
        this.say({ kind: 'pong' });
        break;
      default:
        break;
    }
  }

  private async prove(clientNonce: string): Promise<void> {
    const { server } = this;
    const serverNonce = b64(random(32));
    const message = proofMessage(
      {
        offered: [1],
        version: 1,
        clientNonce,
        serverNonce,
        server: server.id,
        path: server.path,
        certificates: server.certificates,
        binding: this.binding,
      },
      this.time,
      'synced',
    );
    this.say({
      kind: 'proof',
      version: 1,
      nonce: serverNonce,
      server: server.id,
      key: server.key.public,
      certificates: server.certificates,
      path: server.path,
      time: this.time,
      rotations: server.rotations,
      signature: await sign(server.key, 'plugside-server-proof-v1', message),
    });
  }
}

/** A grant that nobody checks: its times alone count here. */
export function grantOf(iatS: number, expS: number): string {
  const part = (value: unknown) => b64(new TextEncoder().encode(JSON.stringify(value)));
  return `${part({ alg: 'EdDSA' })}.${part({ iat: iatS, exp: expS })}.c2lnbmF0dXJl`;
}

/** A certificate's hash, made up. */
export function certificate(name: string): Promise<string> {
  return sha256Hex(name);
}
