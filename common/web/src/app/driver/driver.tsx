/** The driver's screens by route; on a wide screen the list stays beside what was opened from it. */
import type { JSX } from 'preact';
import { useClient } from '../client';
import { route } from '../router';
import { At } from './at';
import { ChargerList } from './chargers';
import { History } from './history';
import { SessionScreen } from './session';
import { Settings } from './settings';
import { useWide } from './wide';
import { all } from './found';

/** The screen for the present route. */
export function Driver(): JSX.Element {
  const client = useClient();
  const wide = useWide();
  const [first = 'chargers', ...rest] = route.value;
  if (first === 'settings') return <Settings />;
  if (first === 'history') return <Historic rest={rest} wide={wide} />;
  const chargers = all(client.sites.value);
  const only = chargers.length === 1 ? chargers[0] : undefined;
  // Whoever has one charger wants that one, not a list of one.
  const target = rest.length > 0 ? rest : only && [only.site.id, only.charger.id];
  if (target === undefined) return wide ? <Panes list={<ChargerList />} /> : <ChargerList />;
  const at = <At key={target.slice(0, 2).join('/')} segments={target} alone={only !== undefined} />;
  return wide && !only ? <Panes list={<ChargerList current={target} />} open={at} /> : at;
}

function Historic({ rest, wide }: { rest: readonly string[]; wide: boolean }): JSX.Element {
  const [site, session] = rest;
  const one =
    site !== undefined && session !== undefined ? (
      <SessionScreen key={`${site}/${session}`} site={site} session={session} />
    ) : undefined;
  if (!wide) return one ?? <History />;
  return <Panes list={<History current={session} />} open={one} />;
}

function Panes({ list, open }: { list: JSX.Element; open?: JSX.Element | undefined }): JSX.Element {
  return (
    <div class="panes">
      <div class="pane">{list}</div>
      <div class="pane">{open}</div>
    </div>
  );
}
