/** The chargers that this device may use, by site; one's own charge first, where the thumb is. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { ChargerView, SiteState } from '../../client';
import { useClient, useNow } from '../client';
import { href } from '../router';
import { ButtonLink, Empty, Field, Icon, List, Loading, Page, Row } from '../ui';
import { called, chargersOf } from './found';
import { GraceNotice, RefusedCard } from './mine';
import { ClockNotice, LocalNetworkNotice, PastNotice, ReachBadge, zoneOf } from './reach';
import { reservations } from './reserved';
import { stateSaid } from './said';
import { places, shown, type Shown } from './state';
import { driverWords } from './words';

/** More than fit on a screen are worth a search field. */
const SEARCH_FROM = 12;

/** All of them. `current`: site and charger that stand open beside the list. */
export function ChargerList({ current }: { current?: readonly string[] | undefined }): JSX.Element {
  const client = useClient();
  const words = driverWords();
  const [wanted, setWanted] = useState('');
  const sites = client.sites.value;
  const many = sites.reduce((sum, site) => sum + chargersOf(site).length, 0) > SEARCH_FROM;
  const fits = (charger: ChargerView): boolean =>
    `${charger.name} ${charger.id}`.toLowerCase().includes(wanted.trim().toLowerCase());
  return (
    <Page title={words.myChargers}>
      {many ? <Field label={words.findCharger} type="search" value={wanted} onInput={setWanted} /> : null}
      {sites.map((site) => (
        <SiteSection key={site.id} site={site} fits={fits} current={current} />
      ))}
      <ButtonLink kind="quiet" icon="plus" href={href('join')}>
        {words.addSite}
      </ButtonLink>
    </Page>
  );
}

function SiteSection(props: {
  site: SiteState;
  fits: (charger: ChargerView) => boolean;
  current: readonly string[] | undefined;
}): JSX.Element {
  const { site, current } = props;
  const words = driverWords();
  const everything = chargersOf(site);
  const chargers = everything.filter(props.fits);
  return (
    <section class="site" aria-labelledby={`site-${site.id}`}>
      <header class="site-head">
        <h2 id={`site-${site.id}`}>{site.name}</h2>
        <ReachBadge site={site} />
      </header>
      <PastNotice site={site} />
      <ClockNotice site={site} />
      <GraceNotice site={site} />
      <RefusedCard site={site} />
      <LocalNetworkNotice site={site} />
      {!site.shown && site.denied === null ? <Loading rows={2} label={words.connecting} /> : null}
      {site.shown && everything.length === 0 ? (
        <Empty icon="plug" title={words.noChargersTitle}>
          {words.noChargers}
        </Empty>
      ) : null}
      {everything.length > 0 && chargers.length === 0 ? <p class="muted">{words.noMatch}</p> : null}
      {chargers.length > 0 ? (
        <List label={site.name}>
          {chargers.map((charger) => (
            <ChargerRow
              key={charger.id}
              site={site}
              charger={charger}
              current={current?.[0] === site.id && current[1] === charger.id}
            />
          ))}
        </List>
      ) : null}
    </section>
  );
}

function ChargerRow(props: { site: SiteState; charger: ChargerView; current: boolean }): JSX.Element {
  const { site, charger } = props;
  const words = driverWords();
  const nowMs = useNow(site.id);
  const evses = places(charger).map((place) => place.evse);
  const all = (evses.length === 0 ? [undefined] : evses).map((evse) =>
    shown({ site, charger, evse, nowMs, reservations: reservations() }),
  );
  const first = worthSeeing(all);
  const texts = all.map((one, index) => {
    const text = stateSaid(one, words, nowMs, zoneOf(site)).short;
    return all.length > 1 ? `${evses[index]}: ${text}` : text;
  });
  return (
    <Row
      href={href('at', site.id, charger.id)}
      current={props.current}
      testId={`charger-${charger.id}`}
      leading={
        <span class={`state-icon tone-${first.tone}`}>
          <Icon name={first.icon} />
        </span>
      }
      title={called(charger)}
      detail={texts.map((text) => (
        <span key={text} class="state-line number">
          {text}
        </span>
      ))}
    />
  );
}

const ORDER = ['flow', 'bad', 'wait', 'good', 'off'] as const;

/** The state that the row's icon tells: one's own charge, else what is the most alive. */
function worthSeeing(all: readonly Shown[]): Shown {
  const mine = all.find((one) => one.mine);
  const byTone = [...all].sort((a, b) => ORDER.indexOf(a.tone) - ORDER.indexOf(b.tone));
  return (mine ?? byTone[0]) as Shown;
}
