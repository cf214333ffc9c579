/**
 * What a device keeps: its key, the sites it may use, commands whose end it has not heard, and each site's last state.
 * IndexedDB in a browser; in memory for tests and where storage is denied.
 */
import { PlugsideError } from './errors';
import { deviceKey, makeKey, type DeviceKey } from './keys';
import type { Pinned } from './rotation';
import type { Name, Target, View } from './generated';

/** One site that this device has joined. */
export interface SiteEntry {
  readonly site: string;
  readonly name: string;
  readonly grant: string;
  readonly role: string;
  readonly principal: string;
  /** The box's identity fingerprint, pinned at joining; empty = only through the cloud. */
  readonly box: string;
  /** host:port on the LAN, as box or cloud told; hints. */
  readonly addresses: readonly string[];
  /** IANA; empty or absent = not told. */
  readonly zone?: string;
  /** An operator who may also release the box and take operators of the box over. */
  readonly owner?: boolean;
  /** The address that answered last. */
  readonly lastGood: string;
  readonly cloudUrl: string;
  /** The cloud's identity fingerprint, pinned at joining. */
  readonly cloudKey: string;
  /** Of the cloud's word by which `box` took another one's place. */
  readonly boxAtMs: number;
  /** Of the box's own statement by which it came to this key; absent or 0 = none was followed. */
  readonly boxNumber?: number;
  /** Fingerprints that `box` was before, the latest last. */
  readonly former?: readonly string[];
  /** Lists of withdrawn rights, as the box and as the cloud told them last: to be carried on to whoever serves. */
  readonly boxLists?: readonly string[];
  readonly cloudLists?: readonly string[];
  /** Certificates of the box that the box itself has signed for. */
  readonly proven: readonly string[];
  /** Certificates that somebody else said are the box's. */
  readonly hinted: readonly string[];
}

/** A command that was made. `envelope` is what is sent, again and again the same. */
export interface Pending {
  readonly id: string;
  readonly site: string;
  readonly name: Name;
  readonly target: Target;
  readonly envelope: string;
  /** Site time. */
  readonly expiresMs: number;
  readonly askedMs: number;
  /** The tab that carries it. */
  readonly tab: string;
}

/** What was shown of a site when it was last the present. */
export interface Kept {
  readonly site: string;
  /** Of the shape of `view`: another build's is not read. */
  readonly shape: number;
  readonly view: View;
  /** Site time. */
  readonly asOf: number;
  readonly fromBox: boolean;
}

/** What the client asks of storage. Every call may reject with `folder_unusable`. */
export interface Store {
  key(): Promise<DeviceKey>;
  sites(): Promise<readonly SiteEntry[]>;
  putSite(entry: SiteEntry): Promise<void>;
  /** Keep what was learnt of a site; one that another tab has removed meanwhile stays removed. */
  learnSite(entry: SiteEntry): Promise<void>;
  /** Remove a site with all that is kept of it. */
  removeSite(site: string): Promise<void>;
  pending(): Promise<readonly Pending[]>;
  putPending(pending: Pending): Promise<void>;
  removePending(id: string): Promise<void>;
  kept(): Promise<readonly Kept[]>;
  /** Keep what a site looks like; of one that was removed nothing is kept. */
  keep(kept: Kept): Promise<void>;
  close(): void;
}

/** What a box has to prove beside its key, where it has another one than the pinned one. */
export function pinnedAs(entry: SiteEntry): Pinned {
  return { site: entry.site, after: entry.boxNumber ?? 0, gone: entry.former ?? [] };
}

/** What is brought along to whoever serves this site. */
export function lists(entry: SiteEntry): readonly string[] {
  return [...(entry.cloudLists ?? []), ...(entry.boxLists ?? [])];
}

const NAME = 'plugside';
const VERSION = 1;

function unusable(wrong: unknown): PlugsideError {
  const detail = wrong instanceof Error ? wrong.message : '';
  return new PlugsideError('folder_unusable', detail, {
    message: 'This browser does not let the app keep anything.',
    hint: 'Leave the private window, or allow storage for this page, then try again.',
  });
}

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(unusable(request.error));
  });
}

function written(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(unusable(transaction.error));
  });
}

interface KeptKey {
  readonly id: string;
  readonly private: CryptoKey;
  readonly public: string;
}

/** Open the browser's storage. Rejects with folder_unusable. */
export async function openStore(factory: IDBFactory | undefined = globalThis.indexedDB): Promise<Store> {
  if (!factory) throw unusable(null);
  let database: IDBDatabase;
  try {
    const opening = factory.open(NAME, VERSION);
    opening.onupgradeneeded = () => {
      const made = opening.result;
      made.createObjectStore('device', { keyPath: 'id' });
      made.createObjectStore('sites', { keyPath: 'site' });
      made.createObjectStore('pending', { keyPath: 'id' });
      made.createObjectStore('kept', { keyPath: 'site' });
    };
    database = await answer(opening);
  } catch (wrong) {
    throw wrong instanceof PlugsideError ? wrong : unusable(wrong);
  }
  // A newer build in another tab may want another shape.
  database.onversionchange = () => database.close();
  return new Database(database);
}

type Table = 'device' | 'sites' | 'pending' | 'kept';

class Database implements Store {
  constructor(private readonly database: IDBDatabase) {}

  /** The first table is the one that is written for its own sake. */
  private begin(mode: IDBTransactionMode, ...tables: [Table, ...Table[]]): IDBTransaction {
    // Key and rights outlive a dead battery. A command has to outlive the page alone: the box knows it by its id.
    const durability = tables[0] === 'device' || tables[0] === 'sites' ? 'strict' : 'relaxed';
    try {
      return this.database.transaction(tables, mode, { durability });
    } catch (wrong) {
      throw unusable(wrong);
    }
  }

  async key(): Promise<DeviceKey> {
    const found = await this.found();
    if (found) return deviceKey(found.private, found.public);
    // Two tabs may come here at once: the one whose key is there first has made the device's.
    const made = await makeKey();
    const writing = this.begin('readwrite', 'device');
    const device = writing.objectStore('device');
    const known = (await answer(device.get('key'))) as KeptKey | undefined;
    if (!known) device.put({ id: 'key', private: made.private, public: made.public } satisfies KeptKey);
    await written(writing);
    return known ? deviceKey(known.private, known.public) : made;
  }

  private found(): Promise<KeptKey | undefined> {
    return answer(this.begin('readonly', 'device').objectStore('device').get('key'));
  }

  private all<T>(table: Table): Promise<T[]> {
    return answer(this.begin('readonly', table).objectStore(table).getAll());
  }

  private put(table: Table, value: unknown): Promise<void> {
    const writing = this.begin('readwrite', table);
    writing.objectStore(table).put(value);
    return written(writing);
  }

  /** Put it if its site is still here, in one transaction: tabs do not wait for each other. */
  private async putOfSite(table: 'sites' | 'kept', value: { readonly site: string }): Promise<void> {
    const writing = this.begin('readwrite', table, 'sites');
    const here = (await answer(writing.objectStore('sites').getKey(value.site))) !== undefined;
    if (here) writing.objectStore(table).put(value);
    return written(writing);
  }

  private remove(id: string, ...tables: [Table, ...Table[]]): Promise<void> {
    const writing = this.begin('readwrite', ...tables);
    for (const table of tables) writing.objectStore(table).delete(id);
    return written(writing);
  }

  sites = async (): Promise<readonly SiteEntry[]> => this.all<SiteEntry>('sites');
  putSite = async (entry: SiteEntry): Promise<void> => this.put('sites', entry);
  learnSite = async (entry: SiteEntry): Promise<void> => this.putOfSite('sites', entry);
  removeSite = async (site: string): Promise<void> => this.remove(site, 'sites', 'kept');
  pending = async (): Promise<readonly Pending[]> => this.all<Pending>('pending');
  putPending = async (pending: Pending): Promise<void> => this.put('pending', pending);
  removePending = async (id: string): Promise<void> => this.remove(id, 'pending');
  kept = async (): Promise<readonly Kept[]> => this.all<Kept>('kept');
  keep = async (kept: Kept): Promise<void> => this.putOfSite('kept', kept);

  close(): void {
    this.database.close();
  }
}

/** Storage that ends with the page. */
export class MemoryStore implements Store {
  private readonly made = makeKey();
  private readonly siteTable = new Map<string, SiteEntry>();
  private readonly pendingTable = new Map<string, Pending>();
  private readonly keptTable = new Map<string, Kept>();

  key = (): Promise<DeviceKey> => this.made;
  sites = async (): Promise<readonly SiteEntry[]> => [...this.siteTable.values()];
  putSite = async (entry: SiteEntry): Promise<void> => void this.siteTable.set(entry.site, entry);
  pending = async (): Promise<readonly Pending[]> => [...this.pendingTable.values()];
  putPending = async (pending: Pending): Promise<void> => void this.pendingTable.set(pending.id, pending);
  removePending = async (id: string): Promise<void> => void this.pendingTable.delete(id);
  kept = async (): Promise<readonly Kept[]> => [...this.keptTable.values()];

  async learnSite(entry: SiteEntry): Promise<void> {
    if (this.siteTable.has(entry.site)) this.siteTable.set(entry.site, entry);
  }

  async keep(kept: Kept): Promise<void> {
    if (this.siteTable.has(kept.site)) this.keptTable.set(kept.site, kept);
  }

  async removeSite(site: string): Promise<void> {
    this.siteTable.delete(site);
    this.keptTable.delete(site);
  }

  close(): void {}
}
