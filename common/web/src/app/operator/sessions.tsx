/** Charges with filters, pages and a file for spreadsheets; the one that is open stands beside the list. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { SiteState } from '../../client';
import { useWide } from '../driver/wide';
import { asTrouble, said } from '../errors';
import * as format from '../format';
import { go, href } from '../router';
import { soon } from '../soon';
import { Badge, Button, Check, Empty, Failure, Field, List, Loading, Row, Select, toast } from '../ui';
import { shellWords } from '../words';
import { type Pages, everything, useDesk, usePages } from './ask';
import { type Office, useOffice, when, whoIs, zoneOf } from './context';
import { csv, fileName } from './csv';
import { type Filters, NO_FILTERS, argsOf, setOf } from './filters';
import { nameOf } from './needs';
import { Orphans } from './orphans';
import { saved } from './save';
import { Session, type SessionRow } from './session';
import { operatorWords, wordFor } from './words';

/** Rows of one page, and the most that go into a file. */
const PAGE_ROWS = 50;
const FILE_ROWS_MAX = 20_000;
const FILE_PAGE_ROWS = 500;

/** Kept while one looks at a session and comes back; anew for another site. */
const kept = new Map<string, Filters>();

export function Sessions({ site, one }: { site: SiteState; one: string | undefined }): JSX.Element {
  const words = operatorWords();
  const wide = useWide();
  const office = useOffice();
  const desk = useDesk(site.id);
  const flagged = one === 'flagged';
  const person = one?.startsWith('of:') ? one.slice(3) : undefined;
  const uid = flagged || person !== undefined ? undefined : one;
  const [filters, setFilters] = useState<Filters>(() => ({
    ...(kept.get(site.id) ?? NO_FILTERS),
    ...(flagged ? { ...NO_FILTERS, flagged: true } : {}),
    ...(person === undefined ? {} : { ...NO_FILTERS, principal: person }),
  }));
  const change = (next: Filters): void => {
    kept.set(site.id, next);
    setFilters(next);
  };
  const zone = zoneOf(office);
  const args = argsOf(filters, zone);
  const ended = Object.values(site.view.sessions).filter((session) => session.ended_at).length;
  const pages = usePages((after) => desk.query<SessionRow>('sessions', args, after, PAGE_ROWS), [
    site.id,
    desk.way,
    JSON.stringify(args),
    ended,
  ]);
  if (!wide && uid !== undefined) return <Session site={site} uid={uid} back />;
  return (
    <div class={wide && uid !== undefined ? 'op-split' : ''}>
      <div class="op-column">
        <FilterBar site={site} filters={filters} onChange={change} args={args} />
        {filters.flagged ? <Orphans site={site} /> : null}
        <Rows site={site} pages={pages} current={uid} office={office} />
      </div>
      {wide && uid !== undefined ? <Session key={uid} site={site} uid={uid} onChanged={() => soon(pages.again)} /> : null}
      <p class="out-of-sight" role="status">
        {pages.busy ? shellWords().loading : `${pages.rows.length} ${words.sections.sessions}`}
      </p>
    </div>
  );
}

function Rows(props: { site: SiteState; pages: Pages<SessionRow>; current: string | undefined; office: Office }): JSX.Element {
  const words = operatorWords();
  const { pages, office } = props;
  if (pages.trouble && pages.rows.length === 0) return <Failure trouble={pages.trouble} onRetry={pages.again} />;
  if (pages.rows.length === 0 && pages.busy) return <Loading rows={6} />;
  if (pages.rows.length === 0) {
    return (
      <Empty icon="receipt" title={words.noSessions} testId="op-no-sessions">
        {words.noSessionsHint}
      </Empty>
    );
  }
  return (
    <>
      <List label={words.sections.sessions}>
        {pages.rows.map((row) => (
          <SessionLine key={row.session} site={props.site} row={row} current={row.session === props.current} office={office} />
        ))}
      </List>
      {pages.trouble ? <Failure trouble={pages.trouble} onRetry={pages.onMore} /> : null}
      {pages.more ? (
        <Button wide busy={pages.busy} onPress={pages.onMore} testId="op-more">
          {shellWords().more}
        </Button>
      ) : null}
    </>
  );
}

function SessionLine(props: { site: SiteState; row: SessionRow; current: boolean; office: Office }): JSX.Element {
  const words = operatorWords();
  const { row, office, site } = props;
  const charger = site.view.chargers[row.charger];
  const energy = row.energy_wh == null ? '' : format.energy(row.energy_wh);
  return (
    <Row
      href={href('operator', site.id, 'sessions', row.session)}
      current={props.current}
      testId={`op-session-${row.session}`}
      title={`${when(row.corrected_started_at || row.started_at || '', office)}`}
      detail={
        <>
          {[charger ? nameOf(charger) : row.charger, whoIs(office, row.principal, row.name) || words.nobody].join(' · ')}
          {row.attention && row.attention.length > 0 ? (
            <span class="op-chips">
              <Badge tone="wait" icon="alert">
                {words.wantsLook}
              </Badge>
            </span>
          ) : null}
        </>
      }
      trailing={
        <span class="number">
          {energy || wordFor(words.sessionStates, row.state ?? '')}
          {row.state === 'open' && energy ? <small class="op-block">{words.sessionStates.open}</small> : null}
        </span>
      }
    />
  );
}

function FilterBar(props: {
  site: SiteState;
  filters: Filters;
  onChange: (filters: Filters) => void;
  args: Record<string, unknown>;
}): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const { filters, onChange } = props;
  const [open, setOpen] = useState(setOf(filters) > 0);
  const set = (change: Partial<Filters>): void => onChange({ ...filters, ...change });
  const chargers = Object.values(props.site.view.chargers).filter((charger) => charger.adopted);
  const count = setOf(filters);
  return (
    <section class="op-filter" aria-label={words.filter}>
      <div class="op-buttons">
        <Button icon="search" onPress={() => setOpen(!open)} expanded={open} testId="op-filter">
          {count > 0 ? words.filters(count) : words.filter}
        </Button>
        {count > 0 ? (
          <Button
            kind="quiet"
            onPress={() => {
              onChange(NO_FILTERS);
              go(['operator', props.site.id, 'sessions'], true);
            }}
          >
            {words.clear}
          </Button>
        ) : null}
        <Download site={props.site} args={props.args} />
      </div>
      {open ? (
        <div class="op-fields">
          <Field label={words.from} type="date" value={filters.from} onInput={(from) => set({ from })} testId="op-from" />
          <Field label={words.to} type="date" value={filters.to} onInput={(to) => set({ to })} testId="op-to" />
          <Select
            label={words.charger}
            value={filters.charger}
            onChange={(charger) => set({ charger })}
            testId="op-by-charger"
            options={[['', words.anyCharger] as const, ...chargers.map((charger) => [charger.id, nameOf(charger)] as const)]}
          />
          <Select
            label={words.person}
            value={filters.principal}
            onChange={(principal) => set({ principal })}
            testId="op-by-person"
            options={[
              ['', words.anybody] as const,
              ...office.people.map((person) => [person.principal, whoIs(office, person.principal)] as const),
            ]}
          />
          <Check label={words.onlyFlagged} checked={filters.flagged} onChange={(flagged) => set({ flagged })} />
        </div>
      ) : null}
    </section>
  );
}

// --- the file ----------------------------------------------------------------------------------------------------

/** Names of the columns are the ledger's own: programs read this, too. */
const COLUMNS = [
  'session',
  'charger',
  'evse',
  'connector',
  'person',
  'principal',
  'started_at',
  'ended_at',
  'energy_kwh',
  'meter_start_wh',
  'meter_stop_wh',
  'method',
  'obtained',
  'state',
  'revision',
  'reason',
  'attention',
] as const;

function cells(row: SessionRow, office: Office): (string | number | null | undefined)[] {
  const energy = row.energy_wh == null ? null : Math.round(row.energy_wh * 1000) / 1_000_000;
  return [
    row.session,
    row.charger,
    row.evse,
    row.connector,
    row.principal && (row.name || office.people.find((person) => person.principal === row.principal)?.name || ''),
    row.principal,
    row.corrected_started_at || row.started_at,
    row.corrected_ended_at || row.ended_at,
    energy,
    row.meter_start_wh,
    row.meter_stop_wh,
    row.method,
    row.obtained,
    row.state,
    row.revision,
    row.reason,
    row.attention?.join(' '),
  ];
}

function Download({ site, args }: { site: SiteState; args: Record<string, unknown> }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const desk = useDesk(site.id);
  const [busy, setBusy] = useState(false);
  const write = async (): Promise<void> => {
    setBusy(true);
    try {
      const found = await everything(
        (after) => desk.query<SessionRow>('sessions', args, after, FILE_PAGE_ROWS),
        FILE_ROWS_MAX,
      );
      const day = new Date(desk.client.siteNow(site.id) ?? Date.now()).toISOString().slice(0, 10);
      const text = csv(COLUMNS, found.rows.map((row) => cells(row, office)));
      saved(fileName(site.name || site.id, day), 'text/csv;charset=utf-8', text);
      if (found.whole) toast(words.csvDone(found.rows.length));
      else toast(words.csvCut(found.rows.length), 'wait');
    } catch (failed) {
      const { what, next } = said(asTrouble(failed));
      toast(`${what} ${next}`, 'bad');
    }
    setBusy(false);
  };
  return (
    <Button icon="download" busy={busy} onPress={() => void write()} testId="op-csv">
      {busy ? words.csvBusy : words.csv}
    </Button>
  );
}
