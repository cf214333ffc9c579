/**
 * The operator's part of the app, loaded only for those who have the role.
 *
 *     #/operator                         all sites, worst first
 *     #/operator/SITE                    what of it needs somebody
 *     #/operator/SITE/chargers[/ID]      /sessions[/UID]  /people[/PRINCIPAL]  /log  /ledger
 */
import './operator.css';
import type { JSX } from 'preact';
import { route } from '../router';
import { SiteFrame } from './frame';
import { Sites } from './sites';

/** Which screen stands for the address. */
export function Operator(): JSX.Element {
  const [, site, section = 'overview', one] = route.value;
  if (site === undefined) return <Sites />;
  return <SiteFrame key={site} site={site} section={section} one={one} />;
}
