/**
 * The courier: carries one command to its box, by whichever way works, with the same bytes each time.
 *
 *     LAN silent for 800 ms before `accepted` → the same by the cloud as well, and the LAN is doubted
 *     the way dies                            → the same by the next one that is open or opens
 *     a way declines for itself (site_offline) → the next one; the box alone can decline for good
 *
 * The box recognises the id, so there is one effect at most, whatever is sent how often (design §7).
 */
import type { Connection, StageMessage } from './connection';
import { fromWire, PlugsideError, telling } from './errors';
import { COMMANDS, type Code } from './generated';
import { Alarm, type Pace } from './pace';
import type { RunState } from './run';
import type { Path, Site } from './site';
import type { Pending } from './store';

/** Refusals that speak for one way, not for the box: the other way may still do it. */
const OF_THE_WAY: ReadonlySet<Code> = new Set<Code>([
  'site_offline',
  'busy',
  'shutting_down',
  'slow_reader',
  'no_path',
  'unknown_site',
  'bad_grant',
  'grant_expired',
]);

/** How long the box is asked what became of a command that an earlier page may have sent. */
const ASKED_AFTER_MS = 60_000;

type Leg = 'carrying' | 'declined' | 'lost';

/** Carry one command until its run is over. Resolves, never rejects. */
export async function carry(site: Site, run: RunState, pending: Pending, pace: Pace): Promise<void> {
  await new Courier(site, run, pending, pace).carry();
}

class Courier {
  private readonly legs = new Map<Connection, Leg>();
  private readonly declined: PlugsideError[] = [];
  private readonly alarm = new Alarm();
  private lastSent = 0;
  private online: boolean;
  private since: ReadonlyMap<Path, number>;
  private readonly lifeEnds: number;
  private release: (() => void) | null = null;

  constructor(
    private readonly site: Site,
    private readonly run: RunState,
    private readonly pending: Pending,
    private readonly pace: Pace,
  ) {
    this.online = site.online;
    this.since = site.kick();
    // Never the box's word alone: a wrong clock there must not make us wait for a year.
    const left = Math.max(0, pending.expiresMs - (site.now() ?? 0));
    const life = Math.min(left, COMMANDS[pending.name].ttl_ms);
    this.lifeEnds = performance.now() + (run.maybeSent ? Math.max(life, ASKED_AFTER_MS) : life);
  }

  async carry(): Promise<void> {
    const changed = () => this.changed();
    this.site.listeners.add(changed);
    try {
      while (!this.run.isOver) await this.alarm.wait(this.step());
    } finally {
      this.site.listeners.delete(changed);
      this.release?.();
    }
  }

  private changed(): void {
    if (this.site.online && !this.online) {
      // What the cloud could not deliver, or not hear the end of, it can now.
      for (const link of [...this.legs.keys()]) if (link.path === 'cloud') this.legs.delete(link);
    }
    this.online = this.site.online;
    this.alarm.ring();
  }

  /** Do what is due. Returns how long nothing is, in ms. */
  private step(): number {
    const now = performance.now();
    const carrying = [...this.legs].filter(([link, leg]) => leg === 'carrying' && !link.fault).map(([link]) => link);
    const fresh = this.site.openLinks.find((link) => !this.legs.has(link));
    const silenceEnds = this.lastSent + this.pace.silenceMs;
    const accepted = this.run.isAccepted;
    const silent = carrying.length > 0 && !accepted && now >= silenceEnds;
    if (fresh && (silent || carrying.length === 0)) {
      this.send(fresh);
      return this.pace.silenceMs;
    }
    if (silent) {
      for (const link of carrying) link.doubt();
      this.release ??= this.site.wantCloud();
    }
    const ends = this.lifeEnds + (accepted ? this.pace.outcomeMs : 0);
    const sent = this.run.sentBy.length > 0;
    if (now >= ends) this.run.unknown(this.noWord());
    else if (carrying.length === 0 && !sent) this.giveUp();
    else if (carrying.length === 0 && !accepted && ![...this.legs.values()].includes('lost')) this.giveUp();
    const due = silent || carrying.length === 0 || accepted ? ends : silenceEnds;
    return Math.max(0, Math.min(due, ends) - now);
  }

  private send(link: Connection): void {
    const { id, site, envelope } = this.pending;
    this.legs.set(link, 'carrying');
    this.run.sentBy.push(link.path);
    this.lastSent = performance.now();
    link.send(
      { kind: 'command', id, site, envelope, grant: this.site.entry.grant },
      (told) => this.heard(link, told),
      (why) => this.lost(link, why),
    );
  }

  private heard(link: Connection, told: StageMessage): void {
    if (told.kind === 'refused') {
      const refusal = fromWire(told.code, told.message, told.hint);
      // What the box has accepted it does not refuse afterwards: then it is the way that speaks.
      if (this.run.isAccepted || OF_THE_WAY.has(refusal.code)) {
        this.legs.set(link, 'declined');
        this.declined.push(refusal);
        this.alarm.ring();
        return;
      }
      this.run.refuse(refusal, link.path);
    } else {
      this.run.tell(told, link.path);
    }
    this.alarm.ring();
  }

  private lost(link: Connection, why: PlugsideError): void {
    if (why.code === 'busy') {
      this.legs.set(link, 'declined'); // it never left
      this.declined.push(why);
    } else {
      this.legs.set(link, 'lost');
      this.since = this.site.kick();
    }
    this.alarm.ring();
  }

  /** End it when every way has been tried in vain: it was not sent, or each way has declined. */
  private giveUp(): void {
    const spent = new Set([...this.legs].filter(([, leg]) => leg === 'declined').map(([link]) => link));
    const hopeless = this.site.hopeless(this.since, spent);
    if (!hopeless) return;
    const why = telling([...this.declined, hopeless]);
    if (this.run.maybeSent && this.declined.length === 0) this.run.unknown(why);
    else this.run.refuse(why, null);
  }

  private noWord(): PlugsideError {
    if (this.run.sentBy.length === 0) return this.site.failure();
    return new PlugsideError('no_path', '', {
      message: 'It was sent, and how it ended is not known.',
      hint: "Look at the charger's state before you try again.",
    });
  }
}
