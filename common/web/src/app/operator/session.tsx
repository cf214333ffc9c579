/** One charge whole: its values and how each was obtained, its curve, its story, every sample. */
import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { MeterSample, SiteState } from '../../client';
import { Curve } from '../driver/curve';
import { type MeterRow, seriesOf } from '../driver/series';
import * as format from '../format';
import { href } from '../router';
import { soon } from '../soon';
import { Badge, Button, Card, Facts, Failure, Loading, Notice, Table } from '../ui';
import { everything, useAnswer, useDesk } from './ask';
import { type Office, useOffice, when, whoIs, zoneOf } from './context';
import { nameOf } from './needs';
import { ResolveSheet } from './resolve';
import { type FactRow, type Line, linesOf } from './story';
import { operatorWords, wordFor } from './words';

/** A session as box and cloud tell it to staff. */
export interface SessionRow {
  readonly session: string;
  readonly charger: string;
  readonly evse?: number;
  readonly connector?: number;
  readonly principal?: string | null;
  readonly name?: string;
  readonly started_at?: string;
  readonly ended_at?: string;
  readonly corrected_started_at?: string;
  readonly corrected_ended_at?: string;
  readonly meter_start_wh?: number | null;
  readonly meter_stop_wh?: number | null;
  readonly energy_wh?: number | null;
  readonly method?: string;
  readonly obtained?: string;
  readonly reason?: string;
  readonly revision?: number;
  readonly state?: string;
  readonly provisional?: boolean;
  readonly attention?: readonly string[];
  readonly flags?: readonly string[];
}

/** The most that is fetched of one session: a week of samples, a story of hundreds of facts. */
const SAMPLES_MAX = 10_000;
const FACTS_MAX = 2000;
const PAGE_ROWS = 500;

export function Session(props: {
  site: SiteState;
  uid: string;
  back?: boolean;
  /** It was decided on. */
  onChanged?: () => void;
}): JSX.Element {
  const { site, uid, back } = props;
  const words = operatorWords();
  const office = useOffice();
  const desk = useDesk(site.id);
  const [deciding, decide] = useState(false);
  const live = site.view.sessions[uid];
  const stirred = `${live?.revision} ${live?.ended_at}`;
  const row = useAnswer(() => rowOf(desk.query, uid), [uid, desk.way, stirred]);
  const story = useAnswer(
    () => everything((after) => desk.query<FactRow>('session', { session: uid }, after, PAGE_ROWS), FACTS_MAX),
    [uid, desk.way, stirred],
  );
  const meter = useAnswer(
    () => everything((after) => desk.query<MeterRow>('meter', { session: uid }, after, PAGE_ROWS), SAMPLES_MAX),
    [uid, desk.way, stirred],
  );
  const again = (): void => {
    row.again();
    story.again();
    office.again();
  };
  const found = row.value;
  const lines = linesOf(story.value?.rows ?? []);
  return (
    <div class="op-column" data-testid="op-session">
      {back ? (
        <a class="op-back" href={href('operator', site.id, 'sessions')}>
          ← {words.sections.sessions}
        </a>
      ) : null}
      {row.trouble ? <Failure trouble={row.trouble} onRetry={again} /> : null}
      {found === undefined && row.busy ? <Loading rows={4} /> : null}
      {found ? <Attention row={found} onDecide={() => decide(true)} /> : null}
      {found ? <Values site={site} row={found} office={office} /> : null}
      <Curve series={seriesOf(meter.value?.rows ?? [])} loading={meter.busy} zone={zoneOf(office)} />
      <Card title={words.story}>
        {story.trouble ? <Failure trouble={story.trouble} onRetry={story.again} /> : null}
        {story.busy && lines.length === 0 ? <Loading rows={3} /> : null}
        {!story.busy && lines.length === 0 && !story.trouble ? <p class="muted">{words.storyEmpty}</p> : null}
        <ol class="op-story">
          {lines.map((line) => (
            <StoryLine key={line.key} line={line} office={office} />
          ))}
        </ol>
      </Card>
      <Samples rows={meter.value?.rows ?? []} office={office} />
      {found ? (
        <ResolveSheet
          site={site}
          open={deciding}
          about={{
            session: uid,
            orphan: '',
            revision: found.revision ?? 0,
            principal: found.principal ?? null,
            energy_wh: found.energy_wh ?? null,
          }}
          charger={found.charger}
          onClose={() => decide(false)}
          onDone={() => {
            soon(again);
            props.onChanged?.();
          }}
        />
      ) : null}
    </div>
  );
}

/** One session's row: the list's own question has no filter for it, so its neighbours are asked for by its start. */
async function rowOf(query: ReturnType<typeof useDesk>['query'], uid: string): Promise<SessionRow | undefined> {
  const found = await query<SessionRow>('sessions', { session: uid }, '', 1);
  return found.rows.find((row) => row.session === uid);
}

function Attention({ row, onDecide }: { row: SessionRow; onDecide: () => void }): JSX.Element | null {
  const words = operatorWords();
  const why = row.attention ?? [];
  if (row.state === 'open') return null;
  if (why.length === 0) {
    return (
      <div class="op-buttons">
        <Button onPress={onDecide} testId="op-decide">
          {words.decide}
        </Button>
      </div>
    );
  }
  return (
    <Notice
      tone="wait"
      icon="alert"
      title={words.wantsLook}
      testId="op-attention"
      action={
        <Button kind="primary" onPress={onDecide} testId="op-decide">
          {words.decide}
        </Button>
      }
    >
      {why.map((code) => wordFor(words.flags, code)).join(' ')}
    </Notice>
  );
}

function Values({ site, row, office }: { site: SiteState; row: SessionRow; office: Office }): JSX.Element {
  const words = operatorWords();
  const charger = site.view.chargers[row.charger];
  const told = (at: string | undefined, corrected: string | undefined): ComponentChildren => {
    if (!at) return '';
    if (!corrected) return when(at, office);
    return (
      <>
        {words.corrected(when(corrected, office))}
        <small class="op-block muted">
          {when(at, office)}, {words.toldByCharger}
        </small>
      </>
    );
  };
  const register = (wh: number | null | undefined): ComponentChildren =>
    wh == null ? (
      ''
    ) : (
      <>
        {format.energy(wh, true)}
        <small class="op-block muted">{words.toldByCharger}</small>
      </>
    );
  const obtained = row.obtained ?? 'measured';
  const how = `${wordFor(words.obtained, obtained)}: ${wordFor(words.methods, row.method ?? 'unknown')}`;
  return (
    <Card title={words.sessionOf(charger ? nameOf(charger) : row.charger)}>
      <Facts
        rows={[
          [words.session, <Badge key="s" tone={row.state === 'open' ? 'flow' : 'off'}>{wordFor(words.sessionStates, row.state ?? '')}</Badge>],
          [words.person, whoIs(office, row.principal, row.name) || words.nobody],
          [words.started, told(row.started_at, row.corrected_started_at)],
          [words.ended, told(row.ended_at, row.corrected_ended_at)],
          [
            words.energy,
            row.energy_wh == null ? (
              wordFor(words.methods, 'unknown')
            ) : (
              <span data-testid="op-energy">
                {format.energy(row.energy_wh, true)}
                <small class="op-block muted">{how}</small>
              </span>
            ),
          ],
          [words.meterStart, register(row.meter_start_wh)],
          [words.meterStop, register(row.meter_stop_wh)],
          [words.reason, row.reason ?? ''],
          [words.revision, row.revision ? String(row.revision) : ''],
        ]}
      />
    </Card>
  );
}

function StoryLine({ line, office }: { line: Line; office: Office }): JSX.Element {
  const words = operatorWords();
  return (
    <li>
      <div class="op-story-head">
        <strong>{wordFor(words.kinds, line.kind)}</strong>
        <time class="muted number" dateTime={line.at}>
          {when(line.at, office)}
        </time>
      </div>
      <p>
        {line.values.map(([name, value]) => (
          <span key={name} class="op-value">
            <span class="muted">{wordFor(words.fields, name)}</span> {valueText(name, value, office)}
          </span>
        ))}
        {line.obtained ? <Badge tone={line.obtained === 'measured' ? 'good' : 'wait'}>{wordFor(words.obtained, line.obtained)}</Badge> : null}
        {line.flags.map((flag) => (
          <Badge key={flag} tone="off">
            {wordFor({}, flag)}
          </Badge>
        ))}
        {line.unsure ? <Badge tone="wait">{words.clockUnsure}</Badge> : null}
      </p>
      <details>
        <summary>{words.details}</summary>
        <pre tabIndex={0}>{JSON.stringify(line.body, null, 1)}</pre>
      </details>
    </li>
  );
}

/** A value of a fact as people say it. */
export function valueText(name: string, value: unknown, office: Office): string {
  const words = operatorWords();
  if (name.endsWith('_wh') && typeof value === 'number') return format.energy(value, true);
  if (name === 'limit_a' && typeof value === 'number') return format.current(value);
  if (name === 'method') return wordFor(words.methods, String(value));
  if (name === 'answer') return wordFor(words.answers, String(value));
  if (name === 'outcome') return wordFor(words.stages, String(value));
  if (name === 'name') return words.commandNames[String(value)] ?? String(value);
  if (name === 'role') return wordFor(words.roles, String(value));
  if (name === 'principal') return whoIs(office, String(value));
  if (name.endsWith('_at') || name === 'before' || name === 'after') return when(String(value), office);
  return typeof value === 'string' || typeof value === 'number' ? String(value) : JSON.stringify(value);
}

/** Rows of samples that are drawn at once. */
const SAMPLE_ROWS = 200;

function Samples({ rows, office }: { rows: readonly MeterRow[]; office: Office }): JSX.Element {
  const words = operatorWords();
  const [shown, show] = useState(SAMPLE_ROWS);
  const [open, setOpen] = useState(false);
  const value = (number: number | null | undefined, say: (n: number) => string): string => (number == null ? '' : say(number));
  const of = (row: MeterRow): Partial<MeterSample> => row.sample ?? {};
  return (
    <Card
      title={words.samples}
      action={
        <Button kind="quiet" expanded={open} onPress={() => setOpen(!open)} testId="op-samples">
          {format.count(rows.length)}
        </Button>
      }
    >
      <p class="muted">{rows.length === 0 ? words.samplesNone : words.samplesHint}</p>
      {open ? (
        <Table
          caption={words.samples}
          rows={rows.slice(0, shown).map((row, index) => ({ row, key: String(index) }))}
          rowKey={(one) => one.key}
          more={rows.length > shown}
          onMore={() => show(shown + SAMPLE_ROWS)}
          columns={[
            { key: 'at', name: words.time, cell: ({ row }) => when(of(row).at ?? row.received_at ?? row.at ?? '', office) },
            { key: 'w', name: words.power, number: true, cell: ({ row }) => value(of(row).power_w, format.power) },
            { key: 'wh', name: words.register, number: true, cell: ({ row }) => value(of(row).energy_wh, (wh) => format.energy(wh, true)) },
          ]}
        />
      ) : null}
    </Card>
  );
}
