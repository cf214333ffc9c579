/** How long is waited for what, in ms; the reasons stand in `common/client/pace.py`. Tests hand in shorter ones. */
export interface Pace {
  /** The LAN's head start over the cloud (design §11). */
  readonly cloudDelayMs: number;
  /** How long a path may be silent about a command before the other is tried (design §11). */
  readonly silenceMs: number;
  /** A silent link is asked so often whether it is there. */
  readonly pingEveryMs: number;
  readonly pongWithinMs: number;
  /** How soon a failed path is tried again: doubled each time, with chance in it, up to the cap. */
  readonly retryBaseMs: number;
  readonly retryCapMs: number;
  /** A link that lived so long was no failure. */
  readonly healthyMs: number;
  readonly handshakeMs: number;
  readonly answerMs: number;
  /** A grant that could not be renewed is tried again on the same link. */
  readonly renewEveryMs: number;
  /** Beyond its life, how long a command's outcome may take: the box waits 300 s for a charger that restarts. */
  readonly outcomeMs: number;
}

export const PACE: Pace = {
  cloudDelayMs: 150,
  silenceMs: 800,
  pingEveryMs: 5000,
  pongWithinMs: 3000,
  retryBaseMs: 250,
  retryCapMs: 10_000,
  healthyMs: 5000,
  handshakeMs: 5000,
  answerMs: 15_000,
  renewEveryMs: 3_600_000,
  outcomeMs: 600_000,
};

/** The pause before the attempt after `failures` of them. `chance`: 0 to 1. */
export function retryDelayMs(pace: Pace, failures: number, chance: number): number {
  if (failures <= 0) return 0;
  const full = Math.min(pace.retryCapMs, pace.retryBaseMs * 2 ** Math.min(failures - 1, 16));
  return full * (0.5 + 0.5 * chance);
}

/** A pause that can be cut short. */
export class Alarm {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private done: (() => void) | null = null;
  private rung = false;

  /** Wait for `ms`, or until somebody rings; one that rang before counts. */
  wait(ms: number | null): Promise<void> {
    if (this.rung) {
      this.rung = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.done = () => {
        clearTimeout(this.timer);
        this.done = null;
        this.rung = false;
        resolve();
      };
      if (ms !== null) this.timer = setTimeout(() => this.done?.(), ms);
    });
  }

  ring(): void {
    if (this.done) this.done();
    else this.rung = true;
  }
}
