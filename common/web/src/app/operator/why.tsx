/** Why a charger is not there, or is there and odd: the box's own findings, the one that matters most first. */
import type { JSX } from 'preact';
import type { ChargerView, SiteState } from '../../client';
import { Notice } from '../ui';
import { useAnswer, useDesk } from './ask';

interface Finding {
  readonly reason: string;
  readonly sentence: string;
  readonly advice: string;
}

interface Told {
  readonly id: string;
  readonly why?: readonly Finding[];
}

/** Findings that are shown; of more the first ones matter. */
const SHOWN_MAX = 3;

export function Why({ site, charger }: { site: SiteState; charger: ChargerView }): JSX.Element | null {
  const desk = useDesk(site.id);
  // One page: a site has tens of chargers. A box that is away cannot say, and the page says that already.
  const told = useAnswer(() => desk.query<Told>('chargers', {}, '', 500), [charger.id, charger.online, desk.way]);
  // That it is connected is among the findings, and is no trouble.
  const why = (told.value?.rows.find((row) => row.id === charger.id)?.why ?? []).filter((one) => one.reason !== 'connected');
  return (
    <>
      {why.slice(0, SHOWN_MAX).map((finding) => (
        <Notice key={finding.reason} tone={charger.online ? 'wait' : 'bad'} icon="alert" title={finding.sentence} testId={`op-why-${finding.reason}`}>
          {finding.advice}
        </Notice>
      ))}
    </>
  );
}
