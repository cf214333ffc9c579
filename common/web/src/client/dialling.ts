/** Dialling: several ways at once, and what a way to a box is. What comes back is proved on both sides. */
import { asError, PlugsideError, telling } from './errors';
import { authenticate, type Opened, type Shown } from './handshake';
import type { DeviceKey } from './keys';
import { dialBox, dialSocket, hasWebTransport, LINK_PATH, type Link } from './link';
import type { Pace } from './pace';
import type { Positions } from './positions';

/** What all paths of one client share. */
export interface Shared {
  readonly key: DeviceKey;
  readonly pace: Pace;
  readonly positions: Positions;
  /** May the local network be dialled now? */
  readonly mayDialLan: () => boolean;
  /** This page's own origin, where a box may serve it. */
  readonly origin: string;
  /** How links are opened; tests hand in their own. */
  readonly dial: Dial;
}

export interface Dial {
  readonly box: (address: string, pins: readonly string[]) => Promise<Link>;
  readonly socket: (url: string, path: 'lan' | 'cloud') => Promise<Link>;
  readonly canPin: () => boolean;
}

export const DIAL: Dial = { box: dialBox, socket: dialSocket, canPin: hasWebTransport };

/** Several ways at once; the first on which both sides are proved wins, the others are closed. */
export function race(attempts: readonly (() => Promise<Opened>)[]): Promise<{ at: number; opened: Opened }> {
  return new Promise((resolve, reject) => {
    const failures: PlugsideError[] = [];
    let won = false;
    let left = attempts.length;
    if (left === 0) reject(new PlugsideError('no_path', 'no address of it is known'));
    attempts.forEach((attempt, at) => {
      attempt()
        .then((opened) => {
          if (won) {
            opened.link.close();
            return;
          }
          won = true;
          resolve({ at, opened });
        })
        .catch((failed: unknown) => failures.push(asError(failed)))
        .finally(() => {
          left -= 1;
          if (left === 0 && !won) reject(telling(failures));
        });
    });
  });
}

/** The ways to a box that are known: by address with pins, and where this page came from. */
export function boxAttempts(
  shared: Shared,
  box: string,
  addresses: readonly string[],
  pins: { readonly proven: readonly string[]; readonly hinted: readonly string[] },
  shown: Shown,
): { readonly address: string; readonly open: () => Promise<Opened> }[] {
  const prove = async (link: Promise<Link>) =>
    authenticate(await link, box, { ...shown, proven: pins.proven }, shared.pace.handshakeMs);
  const all = [...new Set([...pins.proven, ...pins.hinted])];
  const pinned = shared.dial.canPin() && all.length > 0 ? addresses : [];
  const here = shared.origin.startsWith('https://') ? new URL(shared.origin).host : '';
  return [
    ...pinned.map((address) => ({ address, open: () => prove(shared.dial.box(address, all)) })),
    ...(here ? [{ address: '', open: () => prove(shared.dial.socket(`wss://${here}${LINK_PATH}`, 'lan')) }] : []),
  ];
}
