/**
 * One authenticated link: requests go out, answers come back to whoever asked, and what is pushed goes to one
 * listener. Bounded. Asks now and then whether the other side is there, and ends when it does not say so.
 */
import { uuid7 } from './bytes';
import { asError, fromWire, PlugsideError } from './errors';
import type {
  Accepted,
  Confirmed,
  FactMessage,
  Granted,
  Managed,
  Page,
  Presence,
  Refusal,
  SendCommand,
  ServerMessage,
  Settled,
  SiteAccess,
  Snapshot,
  Welcome,
} from './generated';
import { show, type Opened } from './handshake';
import type { DeviceKey } from './keys';
import { encode } from './messages';
import type { Pace } from './pace';
import type { Way } from './types';

/** Requests and commands that one link may have open. */
const OPEN_MAX = 256;

export type StageMessage = Accepted | Confirmed | Settled | Refusal;
export type Push = Snapshot | FactMessage | Presence | Welcome | Refusal;

interface Waiting {
  readonly resolve: (answer: Page | Managed) => void;
  readonly reject: (why: PlugsideError) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

interface Carried {
  readonly tell: (message: StageMessage) => void;
  readonly lost: (why: PlugsideError) => void;
}

export class Connection {
  readonly path: Way;
  readonly granted: readonly Granted[];
  /** Why it ended; null while it is open. */
  fault: PlugsideError | null = null;
  /** The sites that this link gives access to, by id, as last told. */
  sites: ReadonlyMap<string, SiteAccess>;
  /** Resolves to why it ended. */
  readonly closed: Promise<PlugsideError>;

  private readonly waiting = new Map<string, Waiting>();
  private readonly carried = new Map<string, Carried>();
  private renewal: { resolve: (granted: Granted) => void; reject: (why: PlugsideError) => void } | null = null;
  private renewing: Promise<unknown> = Promise.resolve();
  private pong: ReturnType<typeof setTimeout> | undefined;
  private readonly asking: ReturnType<typeof setInterval>;
  private onClosed!: (why: PlugsideError) => void;

  constructor(
    private readonly opened: Opened,
    private readonly key: DeviceKey,
    private readonly pace: Pace,
    private readonly pushed: (push: Push) => void,
  ) {
    this.path = opened.link.path === 'lan' ? 'lan' : 'cloud';
    this.granted = opened.granted;
    this.sites = byId(opened.welcome);
    this.closed = new Promise((resolve) => {
      this.onClosed = resolve;
    });
    this.asking = setInterval(() => this.doubt(), pace.pingEveryMs);
  }

  /** Begin to hear; what came since the welcome comes first. */
  run(): void {
    this.opened.inbox.listen(
      (message) => this.take(message),
      (why) => this.end(why),
    );
  }

  get peer(): string {
    return this.opened.link.peer;
  }

  /** Certificates that the server has signed for in this link's handshake. */
  get certificates(): readonly string[] {
    return this.opened.proof.certificates;
  }

  get clock(): string {
    return this.opened.proof.clock;
  }

  /** The time by the server's signed proof, carried on by a clock that does not step. */
  serverTimeMs(): number {
    return Date.parse(this.opened.proof.time) + performance.now() - this.opened.provedAt;
  }

  // --- asking ---------------------------------------------------------------------------------------------

  private ask(message: Parameters<typeof encode>[0]): void {
    this.opened.link.send(encode(message));
  }

  follow(sites: readonly string[], since: Readonly<Record<string, readonly [string, number]>>): void {
    this.ask({ kind: 'follow', sites, since });
  }

  query(
    site: string,
    what: string,
    args: Readonly<Record<string, unknown>>,
    after: string,
    limit: number,
  ): Promise<Page> {
    return this.request((id) => this.ask({ kind: 'query', id, site, what, args, after, limit })) as Promise<Page>;
  }

  manage(site: string, name: string, args: Readonly<Record<string, unknown>>): Promise<Managed> {
    return this.request((id) => this.ask({ kind: 'manage', id, site, name, args })) as Promise<Managed>;
  }

  private request(send: (id: string) => void): Promise<Page | Managed> {
    return new Promise((resolve, reject) => {
      if (this.fault || this.waiting.size >= OPEN_MAX) {
        reject(this.fault ?? new PlugsideError('busy'));
        return;
      }
      const id = uuid7(Date.now());
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new PlugsideError('no_path', `no answer within ${this.pace.answerMs / 1000} s`));
      }, this.pace.answerMs);
      this.waiting.set(id, { resolve, reject, timer });
      send(id);
    });
  }

  /** Send a command. `tell` hears its stages; `lost` is called instead when the link ends first. */
  send(message: SendCommand, tell: Carried['tell'], lost: Carried['lost']): void {
    if (this.fault) lost(this.fault);
    else if (this.carried.size >= OPEN_MAX) lost(new PlugsideError('busy'));
    else {
      this.carried.set(message.id, { tell, lost });
      this.ask(message);
    }
  }

  /** A fresh grant in place of this one, shown at once. One at a time: the answer carries no id. */
  renew(grant: string): Promise<Granted> {
    const mine = this.renewing.catch(() => {}).then(() => this.renewNow(grant));
    this.renewing = mine;
    return mine;
  }

  private renewNow(grant: string): Promise<Granted> {
    return new Promise<Granted>((resolve, reject) => {
      if (this.fault) {
        reject(this.fault);
        return;
      }
      const timer = setTimeout(() => reject(new PlugsideError('no_path', 'no answer')), this.pace.answerMs);
      this.renewal = {
        resolve: (granted) => {
          clearTimeout(timer);
          resolve(granted);
        },
        reject: (why) => {
          clearTimeout(timer);
          reject(why);
        },
      };
      this.ask({ kind: 'renew', grant });
    }).finally(() => {
      this.renewal = null;
    });
  }

  /** Show more grants; a new welcome is pushed. */
  async show(grants: readonly string[]): Promise<void> {
    const message = await show(this.opened.transcript, this.key, grants);
    if (!this.fault) this.ask(message);
  }

  /** Ask whether the other side is there, and end the link when it does not say so in time. */
  doubt(): void {
    if (this.pong !== undefined || this.fault) return;
    this.pong = setTimeout(
      () => this.end(new PlugsideError('no_path', `${this.peer} does not answer`)),
      this.pace.pongWithinMs,
    );
    this.ask({ kind: 'ping' });
  }

  // --- hearing --------------------------------------------------------------------------------------------

  private take(message: ServerMessage): void {
    // Whatever comes shows that somebody is there.
    clearTimeout(this.pong);
    this.pong = undefined;
    switch (message.kind) {
      case 'accepted':
      case 'confirmed':
      case 'settled':
        this.stage(message);
        break;
      case 'page':
      case 'managed':
        this.answered(message.id, (waiting) => waiting.resolve(message));
        break;
      case 'granted':
        this.renewal?.resolve(message);
        void this.show([message.grant]).catch((failed: unknown) => this.end(asError(failed)));
        break;
      case 'refused':
        this.refused(message);
        break;
      case 'welcome':
        this.sites = byId(message);
        this.push(message);
        break;
      case 'snapshot':
      case 'fact':
      case 'presence':
        this.push(message);
        break;
      case 'bye':
        this.end(fromWire(message.code, message.message, message.hint));
        break;
      case 'pong':
        break;
      case 'proof':
        this.end(new PlugsideError('protocol', 'a message came out of turn'));
    }
  }

  private push(message: Push): void {
    try {
      this.pushed(message);
    } catch (broken) {
      this.end(asError(broken));
    }
  }

  private refused(message: Refusal): void {
    const why = fromWire(message.code, message.message, message.hint);
    if (!message.id) {
      if (this.renewal) this.renewal.reject(why);
      else this.push(message);
      return;
    }
    if (!this.answered(message.id, (waiting) => waiting.reject(why))) this.stage(message);
  }

  private answered(id: string, settle: (waiting: Waiting) => void): boolean {
    const waiting = this.waiting.get(id);
    if (!waiting) return false;
    this.waiting.delete(id);
    clearTimeout(waiting.timer);
    settle(waiting);
    return true;
  }

  private stage(message: StageMessage): void {
    const known = this.carried.get(message.id);
    if (!known) return;
    if (message.kind === 'settled' || message.kind === 'refused') this.carried.delete(message.id);
    known.tell(message);
  }

  /** The link is over: whoever waits for an answer gets `why`. */
  end(why: PlugsideError): void {
    if (this.fault) return;
    this.fault = why;
    clearInterval(this.asking);
    clearTimeout(this.pong);
    this.opened.link.close();
    for (const waiting of this.waiting.values()) {
      clearTimeout(waiting.timer);
      waiting.reject(why);
    }
    this.waiting.clear();
    this.renewal?.reject(why);
    const carried = [...this.carried.values()];
    this.carried.clear();
    for (const one of carried) one.lost(why);
    this.onClosed(why);
  }
}

function byId(welcome: Welcome): ReadonlyMap<string, SiteAccess> {
  return new Map(welcome.sites.map((access) => [access.site, access]));
}
