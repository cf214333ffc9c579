/** One charge: its energy and how that was obtained, its times, its curve, and its receipt. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { type AppClient, PlugsideError, type SiteState } from '../../client';
import { useClient, useSite } from '../client';
import { type Trouble, asTrouble } from '../errors';
import * as format from '../format';
import { useSoon } from '../soon';
import { Button, Card, Facts, Failure, Loading, Notice, Page } from '../ui';
import { Curve, useSeries } from './curve';
import { called } from './found';
import { zoneOf } from './reach';
import { type SessionRow, beganMs, endedMs, isOpen, receiptText, tookMs } from './rows';
import { driverWords } from './words';

/** The screen of one session. */
export function SessionScreen(props: { site: string; session: string }): JSX.Element {
  const client = useClient();
  const words = driverWords();
  const site = useSite(props.site);
  const [row, setRow] = useState<SessionRow | null>(null);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const [turn, setTurn] = useState(0);
  const live = site?.view.sessions[props.session];
  // Again when a way has opened, or the site tells that the charge has ended or was corrected.
  useEffect(() => {
    setTrouble(null);
    find(client, props.site, props.session).then(setRow, (failed: unknown) => setTrouble(asTrouble(failed)));
  }, [client, props.site, props.session, turn, site?.path, live?.ended_at, live?.revision]);
  useSoon(row !== null && isOpen(row) && Boolean(live?.ended_at), () => setTurn((before) => before + 1));
  const back = ['history'];
  if (trouble !== null && row === null) {
    return (
      <Page title={words.charge} back={back}>
        <Failure trouble={trouble} onRetry={() => setTurn(turn + 1)} />
      </Page>
    );
  }
  if (row === null || site === undefined) {
    return (
      <Page title={words.charge} back={back}>
        <Loading rows={4} />
      </Page>
    );
  }
  return <Told site={site} row={row} />;
}

async function find(client: AppClient, site: string, session: string): Promise<SessionRow> {
  const page = await client.query<SessionRow>(site, 'sessions', { session }, { limit: 1 });
  const found = page.rows[0];
  if (found === undefined) throw new PlugsideError('unknown_session');
  return found;
}

function Told({ site, row }: { site: SiteState; row: SessionRow }): JSX.Element {
  const words = driverWords();
  const series = useSeries(site.id, row.session);
  const charger = site.view.chargers[row.charger];
  const name = charger ? called(charger) : row.charger;
  return (
    <Page title={name} back={['history']}>
      <section class="sum" data-testid="sum">
        <p class="sum-value number">{row.energy_wh == null ? words.noEnergy : format.energy(row.energy_wh, true)}</p>
        <p class="muted">{words.method[row.method ?? 'unknown']}</p>
      </section>
      {row.state === 'provisional' ? (
        <Notice tone="wait" icon="clock">
          {words.provisional}
        </Notice>
      ) : null}
      {row.attention?.length ? (
        <Notice tone="wait" icon="search">
          {words.looked}
        </Notice>
      ) : null}
      <Card title={words.charge}>
        <SessionFacts site={site} row={row} name={name} />
      </Card>
      <Curve series={series ?? { times: [], power_w: [] }} loading={series === null} zone={zoneOf(site)} />
      {isOpen(row) ? null : <Receipt site={site.id} session={row.session} />}
    </Page>
  );
}

function SessionFacts({ site, row, name }: { site: SiteState; row: SessionRow; name: string }): JSX.Element {
  const words = driverWords();
  const zone = zoneOf(site);
  const began = beganMs(row);
  const ended = endedMs(row);
  const took = tookMs(row);
  const told = (at: number | undefined, text: string | undefined): string => {
    if (at !== undefined) return format.moment(at, zone);
    return text ? words.clockOdd(text) : words.notTold;
  };
  const register = (value: number | null | undefined): string => (value == null ? '' : format.energy(value, true));
  return (
    <Facts
      rows={[
        [words.site, site.name],
        [words.charger, row.evse && row.evse > 1 ? `${name}, ${words.outlet(row.evse)}` : name],
        [words.began, told(began, row.started_at)],
        [words.ended, isOpen(row) ? words.open : told(ended, row.ended_at)],
        [words.took, took === undefined ? '' : format.duration(took)],
        [words.meterStart, register(row.meter_start_wh)],
        [words.meterStop, register(row.meter_stop_wh)],
        [words.revision, row.revision ? String(row.revision) : ''],
      ]}
    />
  );
}

/** Longer than any download takes to begin (ms): then the file's memory is given back. */
const FILE_LIFE_MS = 60_000;

function Receipt({ site, session }: { site: string; session: string }): JSX.Element {
  const client = useClient();
  const words = driverWords();
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const get = async (): Promise<void> => {
    setBusy(true);
    setTrouble(null);
    try {
      const page = await client.query(site, 'receipt', { session });
      save(receiptText(page.rows[0]), `plugside-receipt-${session.slice(0, 16)}.json`);
    } catch (failed) {
      setTrouble(asTrouble(failed));
    }
    setBusy(false);
  };
  return (
    <>
      {trouble ? <Failure trouble={trouble} onRetry={() => void get()} /> : null}
      <Button icon="receipt" wide busy={busy} testId="receipt" onPress={() => void get()}>
        {words.receipt}
      </Button>
      <p class="muted small">
        {words.receiptWhat} <code>{words.receiptCheck}</code>
      </p>
    </>
  );
}

function save(text: string, name: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), FILE_LIFE_MS);
}
