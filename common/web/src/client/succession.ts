/** A cloud's signed word that a site has another box now (`common/trust/succession.py`). */
import { unb64 } from './bytes';
import { PlugsideError } from './errors';
import type { SiteAccess } from './generated';
import { fingerprint, lines, verify } from './keys';
import { given } from './rotation';
import type { SiteEntry } from './store';

/**
 * The entry with the site's new box, when its pinned cloud has signed that, and later than the last time. Rejects
 * with untrusted_peer.
 */
export async function succeeded(entry: SiteEntry, access: SiteAccess): Promise<SiteEntry> {
  const told = await open(access.succession, entry.site, entry.cloudKey);
  if (!told || told.box !== access.key || told.atMs <= entry.boxAtMs) {
    throw new PlugsideError('untrusted_peer', 'said to have another box, and not by the cloud that was pinned');
  }
  const former = given(entry, entry.box);
  return { ...entry, box: told.box, boxAtMs: told.atMs, boxNumber: 0, former, lastGood: '', proven: [], hinted: [] };
}

/** The entry with the time of the cloud's word for the box that is pinned: none before it counts now. */
export async function placed(entry: SiteEntry, access: SiteAccess): Promise<SiteEntry> {
  const told = await open(access.succession, entry.site, entry.cloudKey);
  const news = told !== null && told.box === entry.box && told.atMs > entry.boxAtMs;
  return news ? { ...entry, boxAtMs: told.atMs } : entry;
}

async function open(text: string, site: string, cloud: string): Promise<{ box: string; atMs: number } | null> {
  try {
    const fields = JSON.parse(new TextDecoder().decode(unb64(text))) as unknown[];
    const [about, box, atMs, by, signature] = fields;
    if (about !== site || typeof box !== 'string' || !Number.isSafeInteger(atMs)) return null;
    if (typeof by !== 'string' || typeof signature !== 'string' || (await fingerprint(by)) !== cloud) return null;
    const message = lines(site, box, String(atMs));
    const good = await verify(by, signature, 'plugside-succession-v1', message);
    return good ? { box, atMs: atMs as number } : null;
  } catch {
    return null;
  }
}
