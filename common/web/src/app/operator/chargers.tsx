/** Chargers and connectors, live; on a wide screen the one that is open stands beside the list. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { ChargerView, ConnectorView, SiteState } from '../../client';
import { live } from '../../client';
import { useNow } from '../client';
import { useWide } from '../driver/wide';
import * as format from '../format';
import { href } from '../router';
import { Badge, Button, Card, Empty, Facts, type IconName, List, Row, type Tone } from '../ui';
import { Actions } from './actions';
import { AdoptSheet } from './adopt';
import { useOffice, when, whoIs, zoneOf } from './context';
import { nameOf, ranked } from './needs';
import { Why } from './why';
import { operatorWords, wordFor } from './words';

const LOOK: Record<string, readonly [Tone, IconName]> = {
  unknown: ['off', 'question'],
  available: ['good', 'check'],
  preparing: ['wait', 'plug'],
  charging: ['flow', 'bolt'],
  suspended_ev: ['wait', 'car'],
  suspended_evse: ['wait', 'pause'],
  finishing: ['off', 'plug'],
  reserved: ['off', 'clock'],
  unavailable: ['off', 'off'],
  faulted: ['bad', 'alert'],
};

export function Chargers({ site, one }: { site: SiteState; one: string | undefined }): JSX.Element {
  const words = operatorWords();
  const wide = useWide();
  const [adopting, adopt] = useState('');
  const all = Object.values(site.view.chargers);
  const waiting = all.filter((charger) => !charger.adopted);
  const adopted = ranked(all.filter((charger) => charger.adopted));
  const chosen = one === undefined ? (wide ? adopted[0] : undefined) : site.view.chargers[one];
  if (!wide && one !== undefined) {
    return chosen ? <Charger site={site} charger={chosen} back /> : <Missing />;
  }
  if (all.length === 0) {
    return (
      <Empty icon="plug" title={words.noChargers} testId="op-no-chargers">
        {words.noChargersHint}
      </Empty>
    );
  }
  return (
    <div class={wide ? 'op-split' : ''}>
      <div class="op-column">
        {waiting.length > 0 ? (
          <section>
            <h2 class="op-h2">{words.waitingTitle}</h2>
            <List label={words.waitingTitle}>
              {waiting.map((charger) => (
                <Row
                  key={charger.id}
                  title={charger.id}
                  detail={charger.address}
                  trailing={<Badge tone="wait">{words.adopt}</Badge>}
                  onPress={() => adopt(charger.id)}
                  testId={`op-adopt-${charger.id}`}
                />
              ))}
            </List>
          </section>
        ) : null}
        {adopted.length > 0 ? (
          <List label={words.sections.chargers}>
            {adopted.map((charger) => (
              <Line key={charger.id} site={site} charger={charger} current={wide && charger.id === chosen?.id} />
            ))}
          </List>
        ) : null}
      </div>
      {wide && chosen?.adopted ? <Charger key={chosen.id} site={site} charger={chosen} /> : null}
      <AdoptSheet site={site.id} charger={adopting} onClose={() => adopt('')} />
    </div>
  );
}

function Missing(): JSX.Element {
  const words = operatorWords();
  return <Empty icon="question" title={words.noChargers} />;
}

function placesOf(charger: ChargerView): ConnectorView[] {
  return Object.values(charger.connectors).sort((a, b) => a.evse - b.evse);
}

export function StateBadge({ place }: { place: ConnectorView }): JSX.Element {
  const words = operatorWords();
  const [tone, icon] = place.stale ? (['off', 'question'] as const) : (LOOK[place.state] ?? (['off', 'question'] as const));
  return (
    <Badge tone={tone} icon={icon}>
      {wordFor(words.states, place.state)}
      {place.stale ? ` (${words.lastKnown})` : ''}
    </Badge>
  );
}

function Line({ site, charger, current }: { site: SiteState; charger: ChargerView; current: boolean }): JSX.Element {
  const words = operatorWords();
  const nowMs = useNow(site.id);
  const watts = placesOf(charger)
    .map((place) => (place.session ? site.view.sessions[place.session] : undefined))
    .reduce((sum, session) => sum + ((session && live(session, nowMs).power_w) || 0), 0);
  return (
    <Row
      href={href('operator', site.id, 'chargers', charger.id)}
      current={current}
      testId={`op-charger-${charger.id}`}
      title={nameOf(charger)}
      detail={
        charger.online ? (
          <span class="op-chips">
            {placesOf(charger).map((place) => (
              <StateBadge key={place.evse} place={place} />
            ))}
          </span>
        ) : (
          <Badge tone="bad" icon="cut">
            {words.chargerOffline}
          </Badge>
        )
      }
      trailing={watts > 0 ? <span class="number">{format.power(watts)}</span> : undefined}
    />
  );
}

/** One charger whole: what it is, each outlet, what can be asked of it. */
function Charger({ site, charger, back }: { site: SiteState; charger: ChargerView; back?: boolean }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const nowMs = useNow(site.id);
  const [renaming, rename] = useState(false);
  const since = format.instant(charger.since);
  return (
    <div class="op-column" data-testid="op-charger">
      {back ? (
        <a class="op-back" href={href('operator', site.id, 'chargers')}>
          ← {words.sections.chargers}
        </a>
      ) : null}
      <div class="op-title">
        <h2>{nameOf(charger)}</h2>
        <Badge tone={charger.online ? 'good' : 'bad'} icon={charger.online ? 'check' : 'cut'}>
          {charger.online ? words.chargerOnline : words.chargerOffline}
          {since === undefined ? '' : ` ${words.since(format.clock(since, nowMs, zoneOf(office)))}`}
        </Badge>
      </div>
      <Why site={site} charger={charger} />
      {placesOf(charger).map((place) => (
        <Place key={place.evse} site={site} charger={charger} place={place} />
      ))}
      <Card
        title={words.charger}
        action={
          <Button kind="quiet" onPress={() => rename(true)}>
            {words.rename}
          </Button>
        }
      >
        <Facts
          rows={[
            [words.identity, charger.id],
            [words.model, [charger.vendor, charger.model].filter(Boolean).join(' ')],
            [words.serial, charger.serial],
            [words.firmware, charger.firmware],
            [words.protocol, charger.protocol],
            [words.address, charger.address],
            [words.limitNow, charger.limit?.limit_a == null ? '' : words.limitOf(format.current(charger.limit.limit_a))],
          ]}
        />
        <Actions site={site} charger={charger} />
      </Card>
      <AdoptSheet site={site.id} charger={renaming ? charger.id : ''} named={charger.name} onClose={() => rename(false)} />
    </div>
  );
}

function Place({ site, charger, place }: { site: SiteState; charger: ChargerView; place: ConnectorView }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const nowMs = useNow(site.id);
  const session = place.session ? site.view.sessions[place.session] : undefined;
  const now = session ? live(session, nowMs) : null;
  const limit = place.session_limit?.limit_a ?? place.limit?.limit_a;
  return (
    <Card title={words.outlet(place.evse)} action={<StateBadge place={place} />}>
      <Facts
        rows={[
          [words.errorCode, [place.error_code, place.info].filter((text) => text && text !== 'NoError').join(': ')],
          [words.driver, session ? whoIs(office, session.principal) || words.nobody : ''],
          [words.power, now?.power_w == null ? '' : format.power(now.power_w)],
          [words.energy, session?.energy_wh == null ? '' : format.energy(session.energy_wh)],
          [words.started, session ? when(session.started_at, office) : ''],
          [words.limitNow, limit == null ? '' : words.limitOf(format.current(limit))],
        ]}
      />
      {session ? (
        <a class="op-link" href={href('operator', site.id, 'sessions', session.session)}>
          {words.showSession}
        </a>
      ) : null}
      <Actions site={site} charger={charger} place={place} />
    </Card>
  );
}
