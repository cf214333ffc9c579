/** Reports that fit no charge: each waits for somebody to say where it belongs. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { SiteState } from '../../client';
import * as format from '../format';
import { soon } from '../soon';
import { List, Row } from '../ui';
import { useDesk, usePages } from './ask';
import { useOffice, when } from './context';
import { nameOf } from './needs';
import { ResolveSheet } from './resolve';
import { operatorWords, wordFor } from './words';

interface OrphanRow {
  readonly orphan: string;
  readonly charger: string;
  readonly what: string;
  readonly reason: string;
  readonly recorded_at: string;
  readonly at?: string;
  readonly meter_wh?: number | null;
}

const PAGE_ROWS = 50;

export function Orphans({ site }: { site: SiteState }): JSX.Element | null {
  const words = operatorWords();
  const office = useOffice();
  const desk = useDesk(site.id);
  const pages = usePages((after) => desk.query<OrphanRow>('orphans', {}, after, PAGE_ROWS), [site.id, desk.way]);
  const [about, decide] = useState<OrphanRow | null>(null);
  if (pages.rows.length === 0) return null;
  return (
    <section>
      <h2 class="op-h2">{words.orphansTitle}</h2>
      <List label={words.orphansTitle}>
        {pages.rows.map((row) => {
          const charger = site.view.chargers[row.charger];
          return (
            <Row
              key={row.orphan}
              title={`${wordFor(words.orphanWhat, row.what)} · ${charger ? nameOf(charger) : row.charger}`}
              detail={[
                when(row.at || row.recorded_at, office),
                row.meter_wh == null ? '' : format.energy(row.meter_wh, true),
                wordFor({}, row.reason),
              ]
                .filter(Boolean)
                .join(' · ')}
              onPress={() => decide(row)}
              testId={`op-orphan-${row.orphan}`}
            />
          );
        })}
      </List>
      {about ? (
        <ResolveSheet
          site={site}
          open
          charger={about.charger}
          about={{ session: '', orphan: about.orphan, revision: 0, principal: null, energy_wh: null }}
          onClose={() => decide(null)}
          onDone={() =>
            soon(() => {
              pages.again();
              office.again();
            })
          }
        />
      ) : null}
    </section>
  );
}
