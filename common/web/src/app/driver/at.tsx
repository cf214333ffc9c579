/** One charger: what it does now, large, and what may be asked of it, at the thumb. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { ChargerView, SiteState } from '../../client';
import { useClient, useNow, useSite } from '../client';
import { href } from '../router';
import { ButtonLink, Choice, Empty, List, Loading, Page, Row } from '../ui';
import { Actions } from './actions';
import { AskCard } from './askcard';
import { type Ask, isOver, newest } from './asks';
import { SessionCurve } from './curve';
import { called, linked } from './found';
import { Hero } from './hero';
import { GraceNotice, RefusedCard } from './mine';
import { ClockNotice, LocalNetworkNotice, PastNotice, ReachBadge } from './reach';
import { reservations } from './reserved';
import { places, shown } from './state';
import { putAway } from './putaway';
import { driverWords } from './words';

/** The charger that a link names. `alone`: it is the only one, so there is no list to go back to. */
export function At(props: { segments: readonly string[]; alone: boolean }): JSX.Element {
  const client = useClient();
  const words = driverWords();
  const found = linked(client.sites.value, props.segments);
  const one = found.length === 1 ? found[0] : undefined;
  if (one) return <AtCharger key={one.charger.id} site={one.site.id} charger={one.charger.id} {...props} />;
  const back = ['chargers'];
  if (found.length > 1) {
    return (
      <Page title={words.charger} back={back}>
        <p>{words.whichSite}</p>
        <List>
          {found.map(({ site, charger }) => (
            <Row key={site.id} title={site.name} detail={called(charger)} href={href('at', site.id, charger.id)} />
          ))}
        </List>
      </Page>
    );
  }
  const waiting = client.sites.value.some((site) => !site.shown && site.denied === null);
  const id = props.segments[1] ?? props.segments[0] ?? '';
  return (
    <Page title={waiting ? id : words.unknownChargerTitle} back={back}>
      {waiting ? (
        <Loading rows={4} label={words.connecting} />
      ) : (
        <Empty
          icon="search"
          title={words.unknownChargerTitle}
          testId="unknown-charger"
          action={
            <>
              <ButtonLink href={href('chargers')}>{words.myChargers}</ButtonLink>
              <ButtonLink href={href('join')}>{words.addSite}</ButtonLink>
            </>
          }
        >
          {words.unknownCharger(id)}
        </Empty>
      )}
      {client.sites.value.map((site) => (site.live ? null : <PastNotice key={site.id} site={site} />))}
    </Page>
  );
}

function AtCharger(props: { site: string; charger: string; alone: boolean; segments: readonly string[] }): JSX.Element {
  const site = useSite(props.site);
  const charger = site?.view.chargers[props.charger];
  const wanted = Number(props.segments[2]);
  const [chosen, choose] = useState<number | undefined>(Number.isInteger(wanted) && wanted > 0 ? wanted : undefined);
  if (site === undefined || charger === undefined) return <Loading rows={4} />;
  return <ChargerScreen site={site} charger={charger} chosen={chosen} choose={choose} alone={props.alone} />;
}

interface ScreenProps {
  site: SiteState;
  charger: ChargerView;
  chosen: number | undefined;
  choose: (evse: number) => void;
  alone: boolean;
}

function ChargerScreen(props: ScreenProps): JSX.Element {
  const { site, charger } = props;
  const client = useClient();
  const words = driverWords();
  const nowMs = useNow(site.id);
  const all = places(charger);
  const evse = all.some((place) => place.evse === props.chosen) ? props.chosen : favourite(site, charger);
  const ask = newest(site.view, client.runs.value, charger.id, evse, site.principal, putAway.value);
  const state = shown({ site, charger, evse, nowMs, reservations: reservations(), started: isStarted(ask) });
  return (
    <Page
      title={called(charger)}
      {...(props.alone ? {} : { back: ['chargers'] })}
      under={site.name}
      aside={<ReachBadge site={site} />}
      action={<Actions site={site} charger={charger} evse={evse} state={state} ask={ask} />}
    >
      <PastNotice site={site} />
      <ClockNotice site={site} />
      <GraceNotice site={site} />
      <RefusedCard site={site} />
      {all.length > 1 ? (
        <Choice
          label={words.outlets}
          hideLabel
          value={String(evse)}
          options={all.map((place) => [String(place.evse), words.outlet(place.evse)] as const)}
          onChange={(value) => props.choose(Number(value))}
        />
      ) : null}
      <Hero site={site} charger={charger} evse={evse} state={state} nowMs={nowMs} />
      {ask ? <AskCard ask={ask} /> : null}
      {state.session !== null && state.mine ? <SessionCurve site={site} session={state.session} /> : null}
      <LocalNetworkNotice site={site} />
    </Page>
  );
}

/** The connector to begin with: one's own charge, else the first that could be used, else the first. */
function favourite(site: SiteState, charger: ChargerView): number | undefined {
  const all = places(charger);
  const own = all.find((place) => place.session && site.view.sessions[place.session]?.principal === site.principal);
  const free = all.find((place) => place.state === 'preparing') ?? all.find((place) => place.state === 'available');
  return (own ?? free ?? all[0])?.evse;
}

/** The charger said yes to a start, and the charge is not there yet. */
function isStarted(ask: Ask | null): boolean {
  if (ask?.name !== 'start' || isOver(ask)) return false;
  return ask.at === 'confirmed' && (ask.answer === 'accepted' || ask.answer === 'scheduled');
}
