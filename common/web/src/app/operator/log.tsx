/** What was asked of the chargers and what became of it; who did what; what the cloud itself did. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { SiteState } from '../../client';
import { said } from '../errors';
import { href } from '../router';
import { Badge, Button, Choice, Empty, Failure, List, Loading, Row, type Tone } from '../ui';
import { shellWords } from '../words';
import { type Pages, useDesk, usePages, wayOf } from './ask';
import { useOffice, when, whoIs } from './context';
import { nameOf } from './needs';
import { valueText } from './session';
import { type FactRow, linesOf } from './story';
import { operatorWords, wordFor } from './words';

const PAGE_ROWS = 50;

interface CommandRow {
  readonly command: string;
  readonly name: string;
  readonly charger: string;
  readonly evse: number | null;
  readonly principal: string | null;
  readonly person: string;
  readonly role: string;
  readonly path: string;
  readonly session: string | null;
  readonly at: string;
  readonly state: string;
  readonly answer: string;
  readonly outcome: string;
  readonly code: string;
  readonly detail: string;
}

interface ActRow {
  readonly id: string;
  readonly at: string;
  readonly actor: string;
  readonly what: string;
  readonly detail: string;
}

type Tab = 'commands' | 'audit' | 'office';

export function Log({ site }: { site: SiteState }): JSX.Element {
  const words = operatorWords();
  const [tab, setTab] = useState<Tab>('commands');
  const options: (readonly [Tab, string])[] = [
    ['commands', words.logCommands],
    ['audit', words.logAudit],
  ];
  if (wayOf(site)) options.push(['office', words.logOffice]);
  return (
    <div class="op-column">
      <Choice label={words.sections.log} hideLabel value={tab} onChange={setTab} options={options} />
      {tab === 'commands' ? <Commands site={site} /> : tab === 'audit' ? <Audit site={site} /> : <Acts site={site} />}
    </div>
  );
}

function Paged<R>(props: {
  pages: Pages<R>;
  empty: string;
  label: string;
  children: (row: R) => JSX.Element;
}): JSX.Element {
  const { pages } = props;
  if (pages.trouble && pages.rows.length === 0) return <Failure trouble={pages.trouble} onRetry={pages.again} />;
  if (pages.rows.length === 0 && pages.busy) return <Loading rows={6} />;
  if (pages.rows.length === 0) return <Empty icon="history" title={props.empty} />;
  return (
    <>
      <List label={props.label}>{pages.rows.map(props.children)}</List>
      {pages.more ? (
        <Button wide busy={pages.busy} onPress={pages.onMore}>
          {shellWords().more}
        </Button>
      ) : null}
    </>
  );
}

const TONES: Record<string, Tone> = { succeeded: 'good', failed: 'bad', refused: 'bad', unknown: 'wait' };

function Commands({ site }: { site: SiteState }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const desk = useDesk(site.id);
  const moved = Object.values(site.view.commands).map((one) => `${one.command}${one.state}`).join();
  const pages = usePages((after) => desk.query<CommandRow>('commands', {}, after, PAGE_ROWS), [site.id, desk.way, moved]);
  return (
    <Paged pages={pages} empty={words.noCommands} label={words.logCommands}>
      {(row) => {
        const charger = site.view.chargers[row.charger];
        const ended = row.state === 'settled' ? row.outcome : row.state;
        return (
          <Row
            key={row.command}
            testId={`op-command-${row.command}`}
            href={row.session ? href('operator', site.id, 'sessions', row.session) : undefined}
            title={`${wordFor(words.commandNames, row.name)} · ${charger ? nameOf(charger) : row.charger}`}
            detail={
              <>
                {[when(row.at, office), whoIs(office, row.principal, row.person) || wordFor(words.roles, row.role)].join(' · ')}
                <span class="op-chips">
                  <Badge tone={TONES[ended] ?? 'flow'}>{wordFor(words.stages, ended)}</Badge>
                </span>
                {row.code ? <span class="op-block">{said({ code: row.code }).what}</span> : null}
              </>
            }
          />
        );
      }}
    </Paged>
  );
}

function Audit({ site }: { site: SiteState }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const desk = useDesk(site.id);
  const pages = usePages((after) => desk.query<FactRow>('audit', { latest: true }, after, PAGE_ROWS), [site.id, desk.way]);
  return (
    <Paged pages={pages} empty={words.noAudit} label={words.logAudit}>
      {(fact) => {
        const [line] = linesOf([fact]);
        return (
          <Row
            key={`${fact.seq}-${fact.at}-${fact.kind}`}
            title={wordFor(words.kinds, fact.kind)}
            detail={
              <>
                {when(fact.at, office)}
                <span class="op-block">
                  {line?.values.map(([name, value]) => (
                    <span key={name} class="op-value">
                      <span class="muted">{wordFor(words.fields, name)}</span> {valueText(name, value, office)}
                    </span>
                  ))}
                </span>
              </>
            }
          />
        );
      }}
    </Paged>
  );
}

function Acts({ site }: { site: SiteState }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const desk = useDesk(site.id);
  const pages = usePages((after) => desk.query<ActRow>('acts', {}, after, PAGE_ROWS), [site.id, desk.way]);
  return (
    <Paged pages={pages} empty={words.noAudit} label={words.logOffice}>
      {(act) => (
        <Row
          key={act.id}
          title={wordFor({}, act.what)}
          detail={[when(act.at, office), whoIs(office, act.actor), act.detail].filter(Boolean).join(' · ')}
        />
      )}
    </Paged>
  );
}
