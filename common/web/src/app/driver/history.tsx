/** What was charged, the latest first, by month; fetched page by page. */
import { type JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { SiteState } from '../../client';
import { useClient, useSite } from '../client';
import { type Trouble, asTrouble } from '../errors';
import * as format from '../format';
import { href } from '../router';
import { useSoon } from '../soon';
import { Badge, Button, Choice, Empty, Failure, List, Loading, Page, Row } from '../ui';
import { shellWords } from '../words';
import { called } from './found';
import { PastNotice, zoneOf } from './reach';
import { type SessionRow, beganMs, isBehind, isOpen, tookMs } from './rows';
import { driverWords } from './words';

const PAGE_ROWS = 30;

/** One's own charges at a site. `current`: the session that stands open beside the list. */
export function History({ current }: { current?: string | undefined }): JSX.Element {
  const client = useClient();
  const words = driverWords();
  const sites = client.sites.value;
  const [chosen, choose] = useState(sites[0]?.id ?? '');
  const site = sites.find((one) => one.id === chosen) ?? sites[0];
  return (
    <Page title={words.history}>
      {sites.length > 1 && site ? (
        <Choice
          label={words.historySite}
          value={site.id}
          options={sites.map((one) => [one.id, one.name] as const)}
          onChange={choose}
        />
      ) : null}
      {site ? <SiteHistory key={site.id} id={site.id} current={current} /> : null}
    </Page>
  );
}

interface Fetched {
  readonly rows: readonly SessionRow[];
  readonly next: string;
  readonly busy: boolean;
  readonly trouble: Trouble | null;
  /** The first answer has come. */
  readonly told: boolean;
}

function SiteHistory({ id, current }: { id: string; current: string | undefined }): JSX.Element {
  const client = useClient();
  const words = driverWords();
  const site = useSite(id);
  const [got, setGot] = useState<Fetched>({ rows: [], next: '', busy: true, trouble: null, told: false });
  const fetch = (after: string, before: readonly SessionRow[]): void => {
    setGot((known) => ({ ...known, busy: true, trouble: null }));
    const args = site === undefined ? {} : { principal: site.principal };
    client.query<SessionRow>(id, 'sessions', args, { after, limit: PAGE_ROWS }).then(
      (page) => setGot({ rows: [...before, ...page.rows], next: page.next, busy: false, trouble: null, told: true }),
      (failed: unknown) => setGot((known) => ({ ...known, busy: false, trouble: asTrouble(failed) })),
    );
  };
  const live = site ? Object.values(site.view.sessions) : [];
  const ended = live.filter((one) => one.ended_at).length;
  // Again when a charge has ended or a way has opened: the newest page is what changes.
  useEffect(() => fetch('', []), [client, id, ended, site?.path]);
  useSoon(site !== undefined && got.told && isBehind(got.rows, live, site.principal), () => fetch('', []));
  if (site === undefined) return <Loading />;
  return (
    <>
      <PastNotice site={site} />
      {got.trouble ? <Failure trouble={got.trouble} onRetry={() => fetch('', [])} /> : null}
      {got.rows.length === 0 && got.busy ? <Loading rows={4} /> : null}
      {got.rows.length === 0 && !got.busy && !got.trouble ? (
        <Empty icon="history" title={words.historyNoneTitle} testId="no-history">
          {words.historyNone}
        </Empty>
      ) : null}
      <Months site={site} rows={got.rows} current={current} />
      {got.next ? (
        <Button wide busy={got.busy} onPress={() => fetch(got.next, got.rows)}>
          {shellWords().more}
        </Button>
      ) : null}
    </>
  );
}

function Months(props: { site: SiteState; rows: readonly SessionRow[]; current: string | undefined }): JSX.Element {
  const { site } = props;
  const words = driverWords();
  const months: { name: string; rows: SessionRow[] }[] = [];
  for (const row of props.rows) {
    const began = beganMs(row);
    const name = began === undefined ? words.notTold : format.month(began, zoneOf(site));
    const last = months.at(-1);
    if (last?.name === name) last.rows.push(row);
    else months.push({ name, rows: [row] });
  }
  return (
    <>
      {months.map((month) => (
        <section key={month.name} class="site">
          <header class="site-head">
            <h2>{month.name}</h2>
          </header>
          <List label={month.name}>
            {month.rows.map((row) => (
              <HistoryRow key={row.session} site={site} row={row} current={row.session === props.current} />
            ))}
          </List>
        </section>
      ))}
    </>
  );
}

function HistoryRow({ site, row, current }: { site: SiteState; row: SessionRow; current: boolean }): JSX.Element {
  const words = driverWords();
  const began = beganMs(row);
  const took = tookMs(row);
  const charger = site.view.chargers[row.charger];
  const when =
    began === undefined
      ? words.notTold
      : `${format.day(began, zoneOf(site))}, ${format.clock(began, undefined, zoneOf(site))}`;
  const amount = row.energy_wh == null ? '–' : format.energy(row.energy_wh);
  return (
    <Row
      href={href('history', site.id, row.session)}
      current={current}
      testId={`session-${row.session}`}
      title={charger ? called(charger) : row.charger}
      detail={<span class="number">{took === undefined ? when : `${when} · ${format.duration(took)}`}</span>}
      trailing={
        isOpen(row) ? (
          <Badge tone="flow" icon="bolt">
            {words.open}
          </Badge>
        ) : (
          <strong class="number">{amount}</strong>
        )
      }
    />
  );
}
