/** Asking a site: wait for a way, ask by the first that answers, and say what tells most when none does. */
import type { Connection } from './connection';
import { asError, PlugsideError, telling } from './errors';
import type { Site } from './site';
import type { AskOptions, Page, Way } from './types';

const PAGE_ROWS = 100;
const NONE: ReadonlySet<Connection> = new Set();

/** Wait until something of a site holds. Rejects with what tells most once no way can be had. */
export function until(
  site: Site,
  holds: () => boolean,
  spent: ReadonlySet<Connection> = NONE,
  via?: Way,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const since = site.kick();
    const look = () => {
      const hopeless = holds() ? null : site.hopeless(since, spent, via);
      if (!hopeless && !holds()) return;
      site.listeners.delete(look);
      if (hopeless) reject(hopeless);
      else resolve();
    };
    site.listeners.add(look);
    look();
  });
}

/** An open link to a site that is not among `spent`. */
async function openLink(site: Site, spent: ReadonlySet<Connection>, via?: Way): Promise<Connection> {
  for (;;) {
    const find = () => site.openLinks.find((link) => !spent.has(link) && (via === undefined || link.path === via));
    await until(site, () => find() !== undefined, spent, via);
    const link = find();
    if (link) return link;
  }
}

/** Have the cloud at hand while it is wanted by name. */
async function withWay<T>(site: Site, via: Way | undefined, work: () => Promise<T>): Promise<T> {
  const release = via === 'cloud' ? site.wantCloud() : () => {};
  try {
    return await work();
  } finally {
    release();
  }
}

/** One page, by the first way that answers. */
export function query<T>(
  site: Site,
  what: string,
  args: Readonly<Record<string, unknown>>,
  options: AskOptions,
): Promise<Page<T>> {
  return withWay(site, options.via, async () => {
    const spent = new Set<Connection>();
    const failures: PlugsideError[] = [];
    for (;;) {
      let link: Connection;
      try {
        link = await openLink(site, spent, options.via);
      } catch (hopeless) {
        throw telling([...failures, asError(hopeless)]);
      }
      try {
        const page = await link.query(site.id, what, args, options.after ?? '', options.limit ?? PAGE_ROWS);
        return { rows: page.rows as readonly T[], next: page.next };
      } catch (failed) {
        const why = asError(failed);
        if (why.branch !== 'Unavailable') throw why;
        spent.add(link);
        failures.push(why);
      }
    }
  });
}

/** Administration by the best way; never sent twice. */
export function manage<T>(
  site: Site,
  name: string,
  args: Readonly<Record<string, unknown>>,
  via?: Way,
): Promise<T> {
  return withWay(site, via, async () => {
    const link = await openLink(site, NONE, via);
    return (await link.manage(site.id, name, args)).result as T;
  });
}
