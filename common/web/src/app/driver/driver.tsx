/** The driver's screens by route; on a wide screen the list stays beside what was opened from it. */
import type { JSX } from 'preact';
import { useClient } from '../client';
import { route } from '../router';
import { Empty } from '../ui';
import { At } from './at';
import { ChargerList } from './chargers';
import { History } from './history';
import { SessionScreen } from './session';
import { Settings } from './settings';
import { useWide } from './wide';
import { type Found, all } from './found';
import { places } from './state';
import { driverWords } from './words';

/** The screen for the present route. */
export function Driver(): JSX.Element {
  const client = useClient();
  const wide = useWide();
  const [screen = 'chargers', ...rest] = route.value;
  if (screen === 'settings') return <Settings />;
  if (screen === 'history') return <Historic rest={rest} wide={wide} />;
  const chargers = all(client.sites.value);
  const only = chargers.length === 1 ? chargers[0] : undefined;
  // Whoever has one charger wants that one, not a list of one.
  const first = wide ? (mine(chargers) ?? chargers[0]) : only;
  const target = rest.length > 0 ? rest : first && [first.site.id, first.charger.id];
  if (target === undefined) return <ChargerList />;
  const at = <At key={target.slice(0, 2).join('/')} segments={target} alone={only !== undefined} />;
  return wide && !only ? <Panes list={<ChargerList current={target} />} open={at} /> : at;
}

/** Where one's own charge goes on. */
function mine(chargers: readonly Found[]): Found | undefined {
  return chargers.find(({ site, charger }) =>
    places(charger).some((place) => place.session && site.view.sessions[place.session]?.principal === site.principal),
  );
}

function Historic({ rest, wide }: { rest: readonly string[]; wide: boolean }): JSX.Element {
  const [site, session] = rest;
  const one =
    site !== undefined && session !== undefined ? (
      <SessionScreen key={`${site}/${session}`} site={site} session={session} />
    ) : undefined;
  if (!wide) return one ?? <History />;
  return <Panes list={<History current={session} />} open={one ?? <Choose />} />;
}

function Choose(): JSX.Element {
  return (
    <Empty icon="history" title={driverWords().chooseCharge}>
      {driverWords().chooseChargeText}
    </Empty>
  );
}

function Panes({ list, open }: { list: JSX.Element; open: JSX.Element }): JSX.Element {
  return (
    <div class="panes">
      <div class="pane">{list}</div>
      <div class="pane">{open}</div>
    </div>
  );
}
