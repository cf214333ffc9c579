/** Deciding on what is flagged: accept, set a value, attach, dismiss; always with a reason. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Run, SiteState } from '../../client';
import { useClient } from '../client';
import { Button, Choice, Field, Form, Select, Sheet, toast } from '../ui';
import { useAnswer, useDesk } from './ask';
import { useOffice, when, whoIs } from './context';
import { type Decision, type Draft, type Flagged, REASON_MAX, type Wrong, choices, resolveArgs, wrongIn } from './decide';
import { RunLine } from './runs';
import type { SessionRow } from './session';
import { operatorWords } from './words';

/** Charges of one charger that an orphan may belong to. */
const NEAR_ROWS = 50;

export interface ResolveProps {
  site: SiteState;
  about: Flagged;
  charger: string;
  open: boolean;
  onClose: () => void;
  /** It was decided. */
  onDone: () => void;
}

export function ResolveSheet(props: ResolveProps): JSX.Element | null {
  const words = operatorWords();
  return (
    <Sheet open={props.open} title={words.decideTitle} onClose={props.onClose}>
      <Fields key={`${props.about.session}${props.about.orphan}${props.about.revision}`} {...props} />
    </Sheet>
  );
}

function Fields({ site, about, charger, onClose, onDone }: ResolveProps): JSX.Element {
  const client = useClient();
  const words = operatorWords();
  const office = useOffice();
  const possible = choices(about);
  const [draft, setDraft] = useState<Draft>({ decision: possible[0] ?? 'dismiss', reason: '', kwh: '', principal: '', session: '' });
  const [wrong, setWrong] = useState<Wrong | null>(null);
  const [run, setRun] = useState<Run | null>(null);
  const set = (change: Partial<Draft>): void => setDraft({ ...draft, ...change });
  const desk = useDesk(site.id);
  const near = useAnswer(
    about.orphan ? () => desk.query<SessionRow>('sessions', { charger }, '', NEAR_ROWS) : undefined,
    [about.orphan, charger],
  );
  useEffect(() => {
    if (run?.stage.value.outcome !== 'succeeded') return;
    toast(words.stages.succeeded ?? '');
    onDone();
    onClose();
  }, [run?.stage.value.outcome]);
  const sessions = (near.value?.rows ?? []).filter((row) => row.state !== 'open');
  const send = (): void => {
    const found = wrongIn(about, draft);
    setWrong(found);
    if (found !== null) return;
    const revision = about.orphan
      ? sessions.find((row) => row.session === draft.session)?.revision
      : about.revision;
    setRun(client.command(site.id, 'resolve', { charger }, resolveArgs(about, draft, revision ?? 0)));
  };
  const error = (field: Wrong, text: string): string | undefined => (wrong === field ? text : undefined);
  const busy = run !== null && ['asked', 'accepted', 'confirmed'].includes(run.stage.value.at);
  return (
    <Form onSubmit={send}>
      <p class="muted">{words.decisionHint}</p>
      <Choice<Decision>
        label={words.decideTitle}
        hideLabel
        value={draft.decision}
        onChange={(decision) => set({ decision })}
        options={possible.map((one) => [one, about.orphan && one === 'attach' ? words.attachOrphan : (words.decisions[one] ?? one)] as const)}
      />
      {draft.decision === 'set' ? (
        <Field
          label={words.kwhLabel}
          inputMode="decimal"
          value={draft.kwh}
          onInput={(kwh) => set({ kwh })}
          error={error('energy', words.kwhBad)}
          testId="op-kwh"
        />
      ) : null}
      {draft.decision === 'attach' && !about.orphan ? (
        <>
          <Select
            label={words.person}
            value={draft.principal}
            onChange={(principal) => set({ principal })}
            testId="op-attach-person"
            options={[['', words.choose] as const, ...office.people.map((one) => [one.principal, whoIs(office, one.principal)] as const)]}
          />
          <Wrongly text={error('principal', words.personBad)} />
        </>
      ) : null}
      {draft.decision === 'attach' && about.orphan ? (
        <>
          <Select
            label={words.session}
            value={draft.session}
            onChange={(session) => set({ session })}
            options={[
              ['', words.choose] as const,
              ...sessions.map(
                (row) => [row.session, `${when(row.started_at ?? '', office)} · ${whoIs(office, row.principal, row.name) || words.nobody}`] as const,
              ),
            ]}
          />
          <Wrongly text={error('session', words.sessionBad)} />
        </>
      ) : null}
      <Field
        label={words.becauseLabel}
        hint={words.becauseHint}
        value={draft.reason}
        onInput={(reason) => set({ reason })}
        maxLength={REASON_MAX}
        error={error('reason', words.becauseBad)}
        testId="op-because"
      />
      {run ? <RunLine run={run} /> : null}
      <Button kind="primary" wide submit busy={busy} testId="op-decide-do">
        {words.decide}
      </Button>
    </Form>
  );
}

function Wrongly({ text }: { text: string | undefined }): JSX.Element | null {
  return text === undefined ? null : (
    <p class="field-error" role="alert">
      {text}
    </p>
  );
}
