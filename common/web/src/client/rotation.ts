/** A box's own word that it goes on with another key (`common/trust/ROTATION.md`, vectors in `tests/vectors`). */
import { unb64 } from './bytes';
import { PlugsideError } from './errors';
import { fingerprint, lines, verify } from './keys';
import type { SiteEntry } from './store';

/** Statements in a box's chain, and characters of one. */
const ROTATIONS_MAX = 16;
const ROTATION_CHARS_MAX = 1024;

/** One statement: the box whose key was `former` is `box` from then on. */
export interface Rotation {
  readonly site: string;
  readonly old: string;
  readonly new: string;
  readonly number: number;
  /** Fingerprints of both keys. */
  readonly former: string;
  readonly box: string;
}

/** What this device knows of the box that it has pinned. */
export interface Pinned {
  /** Whose box it is; empty = an invite does not say. */
  readonly site: string;
  /** The number of the statement by which its key was pinned; 0 = by none. */
  readonly after: number;
  /** Fingerprints that were the box's and are not any more. */
  readonly gone: readonly string[];
}

/**
 * The chain, if it leads from the pinned fingerprint to the public key that has signed the proof. Rejects with
 * untrusted_peer.
 */
export async function followed(
  told: readonly string[],
  pinned: string,
  key: string,
  known: Pinned,
): Promise<readonly Rotation[]> {
  if (told.length > ROTATIONS_MAX) throw bad('more statements than a chain has');
  const chain: Rotation[] = [];
  for (const text of told) chain.push(await read(text));
  chain.slice(1).forEach((after, at) => {
    const before = chain[at]!;
    if (after.old !== before.new || after.number !== before.number + 1) throw bad('its statements do not follow');
  });
  const site = known.site || chain[0]?.site;
  if (chain.some((one) => one.site !== site)) throw bad('of another site');
  if (chain.length > 0 && new Set([chain[0]!.old, ...chain.map((one) => one.new)]).size <= chain.length) {
    throw bad('it returns to a key that was given up');
  }
  const steps = chain.slice(Math.max(0, chain.findIndex((one) => one.former === pinned)));
  if (steps[0]?.former !== pinned) throw bad('it does not begin at the key that was pinned');
  if (steps.at(-1)?.new !== key) throw bad('it does not end at the key that was proved');
  if (steps[0].number <= known.after) throw bad('an earlier statement is told again');
  if (steps.some((one) => known.gone.includes(one.box))) throw bad('it leads to a key that was given up');
  return chain;
}

/** The entry with the key that its box has now, by a chain that was verified from the pinned one. */
export function rotated(entry: SiteEntry, chain: readonly Rotation[]): SiteEntry {
  const last = chain.at(-1);
  if (!last) return entry;
  return { ...entry, box: last.box, boxNumber: last.number, former: given(entry, ...chain.map((one) => one.former)) };
}

/** What an entry's box was, with these; the latest last. */
export function given(entry: SiteEntry, ...gone: readonly string[]): readonly string[] {
  return [...new Set([...(entry.former ?? []), ...gone])].filter(Boolean).slice(-ROTATIONS_MAX);
}

/** One statement whose both signatures are good. */
async function read(text: string): Promise<Rotation> {
  if (text.length > ROTATION_CHARS_MAX) throw bad('longer than any statement');
  const [site, old, fresh, number, at, byOld, byNew] = parsed(text);
  const texts = [site, old, fresh, byOld, byNew].every((one) => typeof one === 'string' && !one.includes('\n'));
  if (!texts || !counts(number, 1) || !counts(at, 0)) throw bad('it cannot be read');
  const message = lines(site as string, old as string, fresh as string, String(number), String(at));
  const good =
    (await verify(old as string, byOld as string, 'plugside-rotation-v1', message)) &&
    (await verify(fresh as string, byNew as string, 'plugside-rotation-v1', message));
  if (!good) throw bad('not signed by both its keys');
  return {
    site: site as string,
    old: old as string,
    new: fresh as string,
    number,
    former: await fingerprint(old as string),
    box: await fingerprint(fresh as string),
  };
}

function parsed(text: string): readonly unknown[] {
  try {
    const fields = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(unb64(text))) as unknown;
    return Array.isArray(fields) && fields.length === 7 ? fields : [];
  } catch {
    return [];
  }
}

function counts(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least;
}

function bad(why: string): PlugsideError {
  return new PlugsideError('untrusted_peer', `said to have another key now: ${why}`);
}
