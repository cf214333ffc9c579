/** What may be asked of a charger now: the one big thing, and the others beside it. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { AppClient, ChargerView, Name, SiteState, StageName } from '../../client';
import { useClient } from '../client';
import { Button } from '../ui';
import { type Ask, isOver } from './asks';
import { putOne } from './putaway';
import { isConnecting } from './reach';
import { reservedBy } from './reserved';
import { LimitSheet, ReserveSheet, UnlockSheet } from './sheets';
import type { Shown } from './state';
import { driverWords } from './words';

export interface ActionsProps {
  site: SiteState;
  charger: ChargerView;
  evse: number | undefined;
  state: Shown;
  ask: Ask | null;
}

type Open = 'limit' | 'reserve' | 'unlock' | null;

/** Buttons at the lower edge. Never more than what the site would take; nothing is queued for later. */
export function Actions(props: ActionsProps): JSX.Element | null {
  const { site, charger, evse, state, ask } = props;
  const client = useClient();
  const words = driverWords();
  const [open, setOpen] = useState<Open>(null);
  const may = state.may;
  const others = (
    <div class="others">
      {may.limit ? (
        <Button icon="gauge" onPress={() => setOpen('limit')} testId="limit">
          {words.limit}
        </Button>
      ) : null}
      {may.reserve ? (
        <Button icon="clock" onPress={() => setOpen('reserve')} testId="reserve">
          {words.reserve}
        </Button>
      ) : null}
      {may.cancel ? (
        <Button
          icon="close"
          testId="cancel-reservation"
          onPress={() => void client.command(site.id, 'cancel_reservation', { charger: charger.id, ...at(evse) }, {})}
        >
          {words.cancelReservation}
        </Button>
      ) : null}
      {may.unlock ? (
        <Button icon="unlock" onPress={() => setOpen('unlock')} testId="unlock">
          {words.unlock}
        </Button>
      ) : null}
    </div>
  );
  const close = (): void => setOpen(null);
  return (
    <>
      {may.limit || may.reserve || may.cancel || may.unlock ? others : null}
      <Primary {...props} />
      {state.session ? (
        <LimitSheet
          key={`${state.session.session} ${ownLimit(props)}`}
          site={site}
          charger={charger}
          session={state.session}
          open={open === 'limit'}
          onClose={close}
        />
      ) : null}
      <ReserveSheet
        open={open === 'reserve'}
        onClose={close}
        onReserve={(minutes) => {
          forget(ask);
          reservedBy(client.reserve(site.id, charger.id, evse ?? 1, minutes).id);
          close();
        }}
      />
      <UnlockSheet
        open={open === 'unlock'}
        ends={may.unlockEnds}
        onClose={close}
        onUnlock={() => {
          forget(ask);
          client.unlock(site.id, charger.id, evse ?? 1, may.unlockEnds);
          close();
        }}
      />
    </>
  );
}

/** The limit of one's own that is in force; the sheet begins anew with it. */
function ownLimit({ charger, evse }: ActionsProps): number | null | undefined {
  return charger.connectors[String(evse)]?.session_limit?.limit_a;
}

function at(evse: number | undefined): { evse: number } | object {
  return evse === undefined ? {} : { evse };
}

/** The one big thing: it asks at once, and says "asked" until somebody has answered. */
function Primary({ site, charger, evse, state, ask }: ActionsProps): JSX.Element | null {
  const client = useClient();
  const words = driverWords();
  const waiting = ask !== null && !isOver(ask);
  if (state.session !== null && (state.mine || site.role !== 'driver')) {
    const session = state.session.session;
    return (
      <Button
        kind="danger"
        big
        wide
        testId="stop"
        busy={waiting && ask.name === 'stop'}
        disabled={!state.may.stop}
        onPress={() => {
          if (goesOn(client, site.id, charger.id, evse, 'stop')) return;
          forget(ask);
          client.stop(site.id, charger.id, session);
        }}
      >
        {waiting && ask.name === 'stop' ? words.asked : state.mine ? words.stop : words.stopTheirs}
      </Button>
    );
  }
  if (waiting && ask.name === 'start') {
    return (
      <Button kind="primary" big wide busy testId="start">
        {words.asked}
      </Button>
    );
  }
  const reachable = state.reach === 'lan' || state.reach === 'cloud';
  const unreachable = isConnecting(site) ? words.connectingShort : words.unreachable;
  const why = reachable ? words.cannotStart[state.kind] : unreachable;
  return (
    <Button
      kind="primary"
      big
      wide
      icon="bolt"
      testId="start"
      disabled={!state.may.start}
      onPress={() => {
        if (goesOn(client, site.id, charger.id, evse, 'start')) return;
        forget(ask);
        client.start(site.id, charger.id, evse);
      }}
    >
      {state.may.start ? words.start : (why ?? words.start)}
    </Button>
  );
}

/** A second tap before the first is painted asks for nothing more. */
function goesOn(client: AppClient, site: string, charger: string, evse: number | undefined, name: Name): boolean {
  return client.runs.peek().some(({ site: at, target, name: what, stage }) => {
    const here = at === site && target.charger === charger && (target.evse == null || target.evse === evse);
    return here && what === name && STILL.has(stage.peek().at);
  });
}

const STILL: ReadonlySet<StageName> = new Set(['asked', 'accepted', 'confirmed']);

/** A new ask takes the place of what was told about the one before. */
function forget(ask: Ask | null): void {
  if (ask !== null && isOver(ask)) putOne(ask.id);
}
