/** What an operator can ask of a charger or one outlet; what cannot be taken back is asked once more. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { ChargerView, ConnectorView, Run, SiteState } from '../../client';
import { useClient } from '../client';
import { Button, type ButtonKind, Confirm, Field, Form, Sheet } from '../ui';
import { RunLine } from './runs';
import { operatorWords } from './words';

/** Commands that are shown below the buttons. */
const SHOWN_MAX = 3;
const AMPS_MAX = 500;

interface Action {
  readonly key: string;
  readonly text: string;
  readonly kind?: ButtonKind;
  /** What it means, asked before it is sent. */
  readonly sure?: string | undefined;
  readonly run: () => Run;
}

export function Actions({ site, charger, place }: { site: SiteState; charger: ChargerView; place?: ConnectorView }): JSX.Element {
  const client = useClient();
  const words = operatorWords();
  const [asked, ask] = useState<Action | null>(null);
  const [limiting, limit] = useState(false);
  const target = place ? { charger: charger.id, evse: place.evse } : { charger: charger.id };
  const actions: Action[] = place ? placeActions(client, site, charger, place, words) : chargerActions(client, site, charger, words);
  const runs = client.runs.value.filter(
    (run) =>
      run.site === site.id &&
      run.target.charger === charger.id &&
      (place ? run.target.evse === place.evse || (place.session !== null && sessionOf(run) === place.session) : run.target.evse == null && run.name !== 'stop'),
  );
  const press = (action: Action): void => {
    if (action.sure) ask(action);
    else action.run();
  };
  return (
    <div class="op-actions" role="group" aria-label={words.actions}>
      <div class="op-buttons">
        {actions.map((action) => (
          <Button key={action.key} kind={action.kind ?? 'secondary'} onPress={() => press(action)} testId={`op-do-${action.key}`}>
            {action.text}
          </Button>
        ))}
        <Button onPress={() => limit(true)} testId="op-do-limit">
          {words.setLimit}
        </Button>
      </div>
      {runs.slice(0, SHOWN_MAX).map((run) => (
        <RunLine key={run.id} run={run} />
      ))}
      <Confirm
        open={asked !== null}
        title={asked?.text ?? ''}
        confirm={asked?.text ?? ''}
        onClose={() => ask(null)}
        onConfirm={() => {
          asked?.run();
          ask(null);
        }}
      >
        {asked?.sure}
      </Confirm>
      <LimitSheet
        open={limiting}
        whole={!place}
        onClose={() => limit(false)}
        onSet={(amps) =>
          amps === null
            ? client.command(site.id, 'clear_limit', target, {})
            : client.command(site.id, 'limit', target, { limit_a: amps })
        }
      />
    </div>
  );
}

function sessionOf(run: Run): string | null {
  return run.stage.value.session || null;
}

type Words = ReturnType<typeof operatorWords>;
type Client = ReturnType<typeof useClient>;

function placeActions(client: Client, site: SiteState, charger: ChargerView, place: ConnectorView, words: Words): Action[] {
  const target = { charger: charger.id, evse: place.evse };
  const session = place.session;
  const actions: Action[] = [];
  if (session) {
    actions.push({
      key: 'stop',
      text: words.stop,
      kind: 'danger',
      sure: words.sure.stop,
      run: () => client.command(site.id, 'stop', target, { session }),
    });
  } else if (['available', 'preparing', 'finishing', 'reserved'].includes(place.state)) {
    actions.push({ key: 'start', text: words.start, run: () => client.start(site.id, charger.id, place.evse) });
  }
  actions.push({
    key: 'unlock',
    text: words.unlock,
    sure: session ? words.sure.unlock : undefined,
    run: () => client.unlock(site.id, charger.id, place.evse, Boolean(session)),
  });
  const out = place.out_of_service || place.state === 'unavailable';
  actions.push({
    key: 'availability',
    text: out ? words.intoService : words.outOfService,
    run: () => client.command(site.id, 'availability', target, { operative: out }),
  });
  return actions;
}

function chargerActions(client: Client, site: SiteState, charger: ChargerView, words: Words): Action[] {
  const target = { charger: charger.id };
  const reset = (hard: boolean): Run => client.command(site.id, 'reset', target, { hard, ends_charge: hard });
  return [
    { key: 'reset', text: words.reset, sure: words.sure.reset, run: () => reset(false) },
    { key: 'reset-hard', text: words.resetHard, sure: words.sure.resetHard, run: () => reset(true) },
  ];
}

function LimitSheet(props: {
  open: boolean;
  whole: boolean;
  onClose: () => void;
  /** Null lifts it. */
  onSet: (amps: number | null) => void;
}): JSX.Element | null {
  const words = operatorWords();
  const [typed, setTyped] = useState('');
  const [wrong, setWrong] = useState(false);
  const send = (): void => {
    const amps = Number(typed.trim().replace(',', '.'));
    const bad = typed.trim() === '' || !(amps >= 0 && amps <= AMPS_MAX);
    setWrong(bad);
    if (bad) return;
    props.onSet(amps);
    props.onClose();
  };
  return (
    <Sheet open={props.open} title={words.setLimit} onClose={props.onClose}>
      <Form onSubmit={send}>
        {props.whole ? <p class="muted">{words.limitWhole}</p> : null}
        <Field
          label={words.limitLabel}
          inputMode="decimal"
          value={typed}
          onInput={setTyped}
          error={wrong ? words.limitBad : undefined}
          testId="op-limit"
        />
        <Button kind="primary" wide submit testId="op-limit-do">
          {words.setLimit}
        </Button>
        <Button
          wide
          onPress={() => {
            props.onSet(null);
            props.onClose();
          }}
        >
          {words.clearLimit}
        </Button>
      </Form>
    </Sheet>
  );
}
