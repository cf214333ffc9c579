/** Whether anything is lost or doubled; and what is billed for a month. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { SiteState } from '../../client';
import { type Trouble, asTrouble } from '../errors';
import { href } from '../router';
import { Badge, Button, Card, Facts, Failure, Field, Form, Notice, toast } from '../ui';
import { everything, useDesk, wayOf } from './ask';
import { csv, fileName } from './csv';
import { saved } from './save';
import { operatorWords, wordFor } from './words';

interface Finding {
  readonly kind: string;
  readonly charger: string;
  readonly sessions: readonly string[];
  readonly side: string;
  readonly at: string;
  readonly message: string;
}

interface Report {
  readonly ok: boolean;
  readonly sessions: number;
  readonly lost: number;
  readonly doubled: number;
  readonly differing: number;
  readonly first_difference: Finding | null;
  readonly chain_intact: boolean;
  readonly quarantined: number;
  readonly compared: { readonly with: string; readonly statement: string };
}

export function Ledger({ site }: { site: SiteState }): JSX.Element {
  return (
    <div class="op-columns">
      <div class="op-column">
        <Reconcile site={site} />
      </div>
      {wayOf(site) ? (
        <div class="op-column">
          <Month site={site} />
        </div>
      ) : null}
    </div>
  );
}

function Reconcile({ site }: { site: SiteState }): JSX.Element {
  const words = operatorWords();
  const desk = useDesk(site.id);
  const [report, setReport] = useState<Report | null>(null);
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const start = async (): Promise<void> => {
    setBusy(true);
    setTrouble(null);
    try {
      setReport(await desk.manage<Report>('reconcile'));
    } catch (failed) {
      setTrouble(asTrouble(failed));
    }
    setBusy(false);
  };
  return (
    <Card title={words.reconcileTitle}>
      <p class="muted">{wayOf(site) ? words.reconcileHint : words.reconcileHintBox}</p>
      <Button kind="primary" busy={busy} onPress={() => void start()} testId="op-reconcile">
        {words.reconcile}
      </Button>
      {trouble ? <Failure trouble={trouble} onRetry={() => void start()} /> : null}
      {report ? <Reported site={site} report={report} /> : null}
    </Card>
  );
}

function Reported({ site, report }: { site: SiteState; report: Report }): JSX.Element {
  const words = operatorWords();
  const first = report.first_difference;
  return (
    <div class="form" role="status" data-testid="op-reconciled" data-ok={report.ok}>
      <Notice
        tone={report.ok ? 'good' : 'bad'}
        icon={report.ok ? 'check' : 'alert'}
        title={words.reconciled(report.lost, report.doubled)}
      >
        {report.ok ? words.inOrder : words.notInOrder}
      </Notice>
      {first ? (
        <Card title={words.firstDifference}>
          <p>{first.message}</p>
          <p class="muted">{[wordFor({ lost: words.lost, doubled: words.doubled, differing: words.differing }, first.kind), first.side, first.charger].filter(Boolean).join(' · ')}</p>
          {first.sessions.map((uid) => (
            <a key={uid} class="op-link" href={href('operator', site.id, 'sessions', uid)}>
              {words.showSession}: {uid}
            </a>
          ))}
        </Card>
      ) : null}
      <Facts
        rows={[
          [words.compared, String(report.sessions)],
          [words.differing, String(report.differing)],
          [
            words.chain,
            <Badge key="c" tone={report.chain_intact ? 'good' : 'bad'}>
              {report.chain_intact ? words.chainWhole : words.chainBroken}
            </Badge>,
          ],
          [words.quarantined, report.quarantined ? String(report.quarantined) : ''],
        ]}
      />
      <p class="muted">{report.compared.statement}</p>
    </div>
  );
}

// --- a month -----------------------------------------------------------------------------------------------------

const PAGE_ROWS = 500;
const LINES_MAX = 100_000;
const MONTH = /^20[2-9]\d-(0[1-9]|1[0-2])$/;
const COLUMNS = [
  'id',
  'kind',
  'corrects',
  'session',
  'revision',
  'charger',
  'evse',
  'connector',
  'principal',
  'started_at',
  'ended_at',
  'energy_wh',
  'total_wh',
  'obtained',
  'month',
] as const;
type LineRow = Readonly<Record<(typeof COLUMNS)[number], string | number | null>>;

function Month({ site }: { site: SiteState }): JSX.Element {
  const words = operatorWords();
  const desk = useDesk(site.id);
  const [month, setMonth] = useState('');
  const [wrong, setWrong] = useState(false);
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const [waiting, setWaiting] = useState(0);
  const send = async (): Promise<void> => {
    const bad = !MONTH.test(month);
    setWrong(bad);
    if (bad) return;
    setBusy(true);
    setTrouble(null);
    try {
      const told = await desk.manage<{ waiting_count: number }>('export', { month });
      setWaiting(told.waiting_count);
      const lines = await everything((after) => desk.query<LineRow>('charge_lines', { month }, after, PAGE_ROWS), LINES_MAX);
      saved(
        fileName(site.name || site.id, month),
        'text/csv;charset=utf-8',
        csv(COLUMNS, lines.rows.map((row) => COLUMNS.map((name) => row[name]))),
      );
      toast(words.monthLines(lines.rows.length));
    } catch (failed) {
      setTrouble(asTrouble(failed));
    }
    setBusy(false);
  };
  return (
    <Card title={words.monthTitle}>
      <Form onSubmit={() => void send()}>
        <p class="muted">{words.monthHint}</p>
        <Field label={words.month} type="month" value={month} onInput={setMonth} placeholder="2026-11" error={wrong ? words.monthBad : undefined} testId="op-month" />
        {trouble ? <Failure trouble={trouble} /> : null}
        {waiting > 0 ? (
          <Notice tone="wait" icon="receipt">
            <a href={href('operator', site.id, 'sessions', 'flagged')}>{words.monthWaiting(waiting)}</a>
          </Notice>
        ) : null}
        <Button icon="download" submit busy={busy} testId="op-month-do">
          {words.monthExport}
        </Button>
      </Form>
    </Card>
  );
}
