/** The sheets of a charger: a limit for one's own charge, keeping an outlet, unlocking the plug. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { ChargerView, SessionView, SiteState } from '../../client';
import { useClient } from '../client';
import * as format from '../format';
import { Button, Choice, Confirm, Sheet } from '../ui';
import { limitSaid } from './said';
import { driverWords } from './words';

/** Below 6 A no car charges (IEC 61851-1); above 32 A no wall box of this kind goes. */
const LIMIT_MIN_A = 6;
const LIMIT_MAX_A = 32;
const PHASE_V = 230;
const PHASES = 3;

export function LimitSheet(props: {
  site: SiteState;
  charger: ChargerView;
  session: SessionView;
  open: boolean;
  onClose: () => void;
}): JSX.Element {
  const { site, charger, session } = props;
  const client = useClient();
  const words = driverWords();
  const place = charger.connectors[String(session.evse)];
  const own = place?.session_limit?.limit_a ?? null;
  const [limitA, setLimitA] = useState(own ?? 16);
  const now = limitSaid(place, words);
  return (
    <Sheet
      title={words.limitTitle}
      open={props.open}
      onClose={props.onClose}
      actions={
        <>
          {own === null ? null : (
            <Button
              testId="limit-clear"
              onPress={() => {
                client.clearLimit(site.id, charger.id, session.session);
                props.onClose();
              }}
            >
              {words.limitClear}
            </Button>
          )}
          <Button
            kind="primary"
            testId="limit-set"
            onPress={() => {
              client.limit(site.id, charger.id, session.session, limitA);
              props.onClose();
            }}
          >
            {words.limitSet(format.current(limitA))}
          </Button>
        </>
      }
    >
      <label class="slider">
        <span>{words.limitLabel}</span>
        <output class="slider-value number">{format.current(limitA)}</output>
        <input
          type="range"
          min={LIMIT_MIN_A}
          max={LIMIT_MAX_A}
          step={1}
          value={limitA}
          aria-valuetext={format.current(limitA)}
          onInput={(event) => setLimitA(Number(event.currentTarget.value))}
        />
        <span class="muted number">{words.limitAbout(format.power(limitA * PHASE_V * PHASES))}</span>
      </label>
      {now ? <p class="number">{words.limitNow(now)}</p> : null}
      <p class="muted small">{words.limitHint}</p>
    </Sheet>
  );
}

const MINUTES = ['15', '30', '60'] as const;

export function ReserveSheet(props: {
  open: boolean;
  onClose: () => void;
  onReserve: (minutes: number) => void;
}): JSX.Element {
  const words = driverWords();
  const [minutes, setMinutes] = useState<(typeof MINUTES)[number]>('15');
  return (
    <Sheet
      title={words.reserveTitle}
      open={props.open}
      onClose={props.onClose}
      actions={
        <Button kind="primary" wide testId="reserve-do" onPress={() => props.onReserve(Number(minutes))}>
          {words.reserveDo}
        </Button>
      }
    >
      <Choice
        label={words.reserveLabel}
        value={minutes}
        options={MINUTES.map((one) => [one, format.duration(Number(one) * 60_000)] as const)}
        onChange={setMinutes}
      />
      <p class="muted">{words.reserveHint}</p>
    </Sheet>
  );
}

export function UnlockSheet(props: {
  open: boolean;
  ends: boolean;
  onClose: () => void;
  onUnlock: () => void;
}): JSX.Element {
  const words = driverWords();
  return (
    <Confirm
      title={words.unlockTitle}
      open={props.open}
      onClose={props.onClose}
      onConfirm={props.onUnlock}
      confirm={words.unlockDo}
      kind={props.ends ? 'danger' : 'primary'}
    >
      <p>{props.ends ? words.unlockEnds : words.unlockPlain}</p>
    </Confirm>
  );
}
