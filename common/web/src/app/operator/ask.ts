/** Asking box and cloud for what is not live: one answer, or page after page; and by which way it is asked. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { AppClient, Page, SiteState, Way } from '../../client';
import { useClient, useSite } from '../client';
import { type Trouble, asTrouble } from '../errors';

export interface Answer<T> {
  readonly value: T | undefined;
  readonly busy: boolean;
  readonly trouble: Trouble | null;
  /** Ask again. What is shown stays until the new answer is there. */
  readonly again: () => void;
}

/** The answer to a question that is asked anew whenever `keys` change; `ask` undefined = not now. */
export function useAnswer<T>(ask: (() => Promise<T>) | undefined, keys: readonly unknown[]): Answer<T> {
  const [value, setValue] = useState<T | undefined>(undefined);
  const [busy, setBusy] = useState(ask !== undefined);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const turn = useRef(0);
  const again = useCallback(() => {
    if (ask === undefined) return;
    const mine = ++turn.current;
    setBusy(true);
    ask().then(
      (got) => {
        if (mine !== turn.current) return;
        setValue(() => got);
        setTrouble(null);
        setBusy(false);
      },
      (failed: unknown) => {
        if (mine !== turn.current) return;
        setTrouble(asTrouble(failed));
        setBusy(false);
      },
    );
  }, keys);
  useEffect(() => {
    again();
    return () => {
      turn.current += 1;
    };
  }, [again]);
  return { value, busy, trouble, again };
}

export interface Pages<R> {
  readonly rows: readonly R[];
  /** There are more behind these. */
  readonly more: boolean;
  readonly busy: boolean;
  readonly trouble: Trouble | null;
  readonly onMore: () => void;
  readonly again: () => void;
}

/** Rows page by page; from the first one again whenever `keys` change. */
export function usePages<R>(ask: (after: string) => Promise<Page<R>>, keys: readonly unknown[]): Pages<R> {
  const [rows, setRows] = useState<readonly R[]>([]);
  const [next, setNext] = useState('');
  const [busy, setBusy] = useState(true);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const turn = useRef(0);
  const fetch = useCallback((after: string): void => {
    const mine = ++turn.current;
    setBusy(true);
    setTrouble(null);
    gather(ask, after).then(
      (page) => {
        if (mine !== turn.current) return;
        setRows((before) => (after === '' ? page.rows : [...before, ...page.rows]));
        setNext(page.next);
        setBusy(false);
      },
      (failed: unknown) => {
        if (mine !== turn.current) return;
        setTrouble(asTrouble(failed));
        setBusy(false);
      },
    );
  }, keys);
  useEffect(() => {
    setRows([]);
    fetch('');
    return () => {
      turn.current += 1;
    };
  }, [fetch]);
  return {
    rows,
    more: next !== '',
    busy,
    trouble,
    onMore: () => fetch(next),
    again: () => fetch(''),
  };
}

/** Pages that may be short, or empty with more behind them: on, until there is something to show. */
const EMPTY_MAX = 20;

async function gather<R>(ask: (after: string) => Promise<Page<R>>, after: string): Promise<Page<R>> {
  let page = await ask(after);
  for (let empty = 0; page.rows.length === 0 && page.next !== '' && empty < EMPTY_MAX; empty++) {
    page = await ask(page.next);
  }
  return page;
}

/** All rows of a question, at most so many; `whole` is false where there were more. */
export async function everything<R>(
  ask: (after: string) => Promise<Page<R>>,
  most: number,
): Promise<{ rows: readonly R[]; whole: boolean }> {
  const rows: R[] = [];
  let after = '';
  do {
    const page = await ask(after);
    rows.push(...page.rows);
    after = page.next;
  } while (after !== '' && rows.length < most);
  return { rows: rows.slice(0, most), whole: after === '' && rows.length <= most };
}

/** The way by which administration of a site is asked: the cloud, where it has one that answers now. */
export function wayOf(site: SiteState | undefined): { via: Way } | undefined {
  if (site === undefined || !site.cloudUrl) return undefined;
  return site.cloud.open ? { via: 'cloud' } : undefined;
}

/** A site's questions, asked by the right way. */
export interface Desk {
  readonly site: SiteState | undefined;
  readonly client: AppClient;
  readonly query: <T>(what: string, args?: Record<string, unknown>, after?: string, limit?: number) => Promise<Page<T>>;
  readonly manage: <T>(name: string, args?: Record<string, unknown>) => Promise<T>;
  /** Changes when another way is taken: a reason to ask again. */
  readonly way: string;
}

export function useDesk(id: string): Desk {
  const client = useClient();
  const site = useSite(id);
  const way = wayOf(site);
  return {
    site,
    client,
    query: (what, args = {}, after = '', limit = 50) => client.query(id, what, args, { after, limit, ...way }),
    manage: (name, args = {}) => client.manage(id, name, args, way),
    way: way?.via ?? site?.path ?? 'none',
  };
}
