/** What a driver should know of their own right here: that it is in its grace, that their card was refused. */
import type { JSX } from 'preact';
import type { SiteState } from '../../client';
import { useNow } from '../client';
import * as format from '../format';
import { Notice } from '../ui';
import { called } from './found';
import { zoneOf } from './reach';
import { driverWords } from './words';

/** A refusal is news for so long (ms): whoever taps stands there now. */
const NEWS_MS = 60 * 60_000;

/** The grant has run out, and counts on while the site's cloud cannot be reached. */
export function GraceNotice({ site }: { site: SiteState }): JSX.Element | null {
  const words = driverWords();
  const nowMs = useNow(site.id);
  if (site.graceUntil === null) return null;
  return (
    <Notice
      tone="wait"
      icon="clock"
      testId="grace"
      title={words.graceTitle(format.clock(site.graceUntil, nowMs, zoneOf(site)))}
    >
      {words.graceLine}
    </Notice>
  );
}

/** Their card was shown, and what was agreed did not allow a charge. */
export function RefusedCard({ site }: { site: SiteState }): JSX.Element | null {
  const words = driverWords();
  const nowMs = useNow(site.id);
  const refused = site.view.refused_tags[site.principal];
  if (refused === undefined) return null;
  const at = Date.parse(refused.at);
  if (!(nowMs - at < NEWS_MS)) return null;
  const charger = site.view.chargers[refused.charger];
  return (
    <Notice
      tone="wait"
      icon="hand"
      testId="card-refused"
      title={words.cardRefused(charger ? called(charger) : refused.charger, format.clock(at, nowMs, zoneOf(site)))}
    >
      {refused.because}
    </Notice>
  );
}
