/** All sites that somebody looks after, worst first, from every cloud and every box that this device knows. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { AppClient, Page as Rows, SiteState } from '../../client';
import { isStaff, useClient } from '../client';
import * as format from '../format';
import { go, href } from '../router';
import { Badge, Button, Check, Empty, Failure, Field, List, Loading, Page, Row } from '../ui';
import { shellWords } from '../words';
import { useAnswer, usePages, wayOf } from './ask';
import { namedZone } from './context';
import { type SiteRow, kindsOf, worstFirst } from './needs';
import { operatorWords } from './words';

const PAGE_ROWS = 50;
/** How often the list is asked for anew while it is looked at, ms. */
const EVERY_MS = 20_000;
/** After the last letter of a search, ms: one question for a word, not one for each letter. */
const TYPING_MS = 250;

interface Fleet {
  readonly sites: number;
  readonly online: number;
  readonly needing: number;
}

export function Sites(): JSX.Element {
  const client = useClient();
  const words = operatorWords();
  const mine = client.sites.value.filter(isStaff);
  const [typed, setTyped] = useState('');
  const [search, setSearch] = useState('');
  const [needing, setNeeding] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSearch(typed.trim()), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const sources = sourcesOf(mine);
  const keys = sources.map((site) => `${site.id} ${site.cloud.open} ${site.path}`).join();
  const fleet = useAnswer(() => fleetOf(client, sources), [keys]);
  const pages = usePages((after) => page(client, sources, after, { search, ...(needing ? { needing } : {}) }), [
    keys,
    search,
    needing,
  ]);
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.visibilityState !== 'visible' || pages.rows.length > PAGE_ROWS) return;
      fleet.again();
      pages.again();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [keys, search, needing, pages.rows.length]);
  const rows = worstFirst(withSilent(pages.rows, mine, search));
  const only = mine[0];
  useEffect(() => {
    // Whoever looks after one site wants that site, not a list of one.
    if (fleet.value?.sites === 1 && only !== undefined && mine.length === 1) go(['operator', only.id], true);
  }, [fleet.value?.sites, mine.length]);
  return (
    <Page title={words.title} wide>
      {fleet.value ? <Totals fleet={fleet.value} /> : null}
      <div class="op-tools">
        <Field label={words.search} type="search" value={typed} onInput={setTyped} testId="op-search" />
        <Check label={words.onlyNeeding} checked={needing} onChange={setNeeding} />
      </div>
      {pages.trouble && rows.length === 0 ? <Failure trouble={pages.trouble} onRetry={pages.again} /> : null}
      {pages.busy && rows.length === 0 ? <Loading rows={6} /> : null}
      {rows.length > 0 ? (
        <List label={words.sites}>
          {rows.map((row) => (
            <SiteLine key={row.site} row={row} />
          ))}
        </List>
      ) : null}
      {rows.length === 0 && !pages.busy && !pages.trouble ? (
        <Empty icon={needing ? 'check' : 'search'} title={needing && !search ? words.allWell : words.noSite} testId="op-no-site">
          {needing && !search ? words.allWellHint : words.noSiteHint}
        </Empty>
      ) : null}
      {pages.more ? (
        <Button wide busy={pages.busy} onPress={pages.onMore} testId="op-more">
          {shellWords().more}
        </Button>
      ) : null}
    </Page>
  );
}

function Totals({ fleet }: { fleet: Fleet }): JSX.Element {
  const words = operatorWords();
  return (
    <p class="op-totals" data-testid="op-totals" role="status">
      <strong>{words.total(fleet.sites)}</strong>
      <span>{words.totalOnline(fleet.online)}</span>
      <span class={fleet.needing > 0 ? 'op-alarm' : ''}>{words.totalNeeding(fleet.needing)}</span>
    </p>
  );
}

function SiteLine({ row }: { row: SiteRow }): JSX.Element {
  const words = operatorWords();
  const kinds = kindsOf(row.needs);
  const heard = format.instant(row.seen_at);
  const detail: string[] = [];
  if (!row.online) detail.push(heard === undefined ? words.neverHeard : words.lastHeard(format.moment(heard, namedZone(row.zone))));
  if (row.chargers && row.chargers.all > 0 && row.online) {
    detail.push(words.chargersOf(row.chargers.all, row.chargers.online, row.chargers.charging));
  }
  if (row.backlog > 0) detail.push(`${words.backlog}: ${words.records(row.backlog)}`);
  return (
    <Row
      href={href('operator', row.site)}
      testId={`op-site-${row.site}`}
      title={row.name || row.site}
      detail={
        <>
          {kinds.length > 0 ? (
            <span class="op-chips">
              {kinds.map((kind) => (
                <Badge key={kind} tone={kind === 'flagged' || kind === 'orphans' || kind === 'taps' || kind === 'waiting' ? 'wait' : 'bad'}>
                  {words.needs[kind]?.(row.needs[kind] ?? 0) ?? kind}
                </Badge>
              ))}
            </span>
          ) : null}
          {detail.join(' · ')}
          {row.software ? <span class="op-wide"> · {row.software}</span> : null}
        </>
      }
      trailing={
        kinds.includes('offline') ? undefined : (
          <span class="op-wide">
            <Badge tone={row.online ? 'good' : 'off'}>{row.online ? words.connected : words.away}</Badge>
          </span>
        )
      }
    />
  );
}

// --- where rows come from ----------------------------------------------------------------------------------------

/** One site to ask through for each cloud, which tells of all, and each box that has none. */
function sourcesOf(sites: readonly SiteState[]): SiteState[] {
  const clouds = new Map<string, SiteState>();
  for (const site of sites) {
    if (!site.cloudUrl) continue;
    const known = clouds.get(site.cloudUrl);
    if (known === undefined || (!known.cloud.open && site.cloud.open)) clouds.set(site.cloudUrl, site);
  }
  return [...clouds.values(), ...sites.filter((site) => !site.cloudUrl)];
}

async function fleetOf(client: AppClient, sources: readonly SiteState[]): Promise<Fleet> {
  const told = await Promise.all(
    sources.map((site) => client.query<Fleet>(site.id, 'fleet', {}, wayOf(site)).then((page) => page.rows[0])),
  );
  const sum = (name: keyof Fleet): number => told.reduce((all, one) => all + (one?.[name] ?? 0), 0);
  return { sites: sum('sites'), online: sum('online'), needing: sum('needing') };
}

/** The next page of each source that has one; `next` names where each of them goes on. */
async function page(
  client: AppClient,
  sources: readonly SiteState[],
  after: string,
  args: Record<string, unknown>,
): Promise<Rows<SiteRow>> {
  const from: Record<string, string> = after === '' ? {} : (JSON.parse(after) as Record<string, string>);
  const asked = sources.filter((site) => after === '' || from[site.id]);
  const answers = await Promise.allSettled(
    asked.map((site) =>
      client.query<SiteRow>(site.id, 'sites', args, { after: from[site.id] ?? '', limit: PAGE_ROWS, ...wayOf(site) }),
    ),
  );
  const failed = answers.find((answer) => answer.status === 'rejected');
  if (failed && answers.every((answer) => answer.status === 'rejected')) throw failed.reason;
  const rows: SiteRow[] = [];
  const next: Record<string, string> = {};
  answers.forEach((answer, index) => {
    if (answer.status !== 'fulfilled') return;
    rows.push(...answer.value.rows);
    const site = asked[index];
    if (site && answer.value.next) next[site.id] = answer.value.next;
  });
  return { rows, next: Object.keys(next).length > 0 ? JSON.stringify(next) : '' };
}

/** With the sites of this device of which nobody could tell: they are not well just because they are silent. */
function withSilent(rows: readonly SiteRow[], mine: readonly SiteState[], search: string): SiteRow[] {
  const told = new Set(rows.map((row) => row.site));
  const silent = mine.filter(
    (site) => !told.has(site.id) && site.path === null && (!search || site.name.toLowerCase().includes(search.toLowerCase())),
  );
  return [
    ...rows,
    ...silent.map((site) => ({
      site: site.id,
      name: site.name,
      online: false,
      seen_at: site.asOf === null ? '' : new Date(site.asOf).toISOString(),
      software: '',
      zone: '',
      clock: site.clock,
      skew_ms: 0,
      backlog: 0,
      addresses: [],
      needs: { offline: 1 },
    })),
  ];
}
