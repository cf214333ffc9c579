/** What was agreed for one's own right at a site, and what of it was had; nothing where there is no cap. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { SiteState } from '../../client';
import { useClient } from '../client';
import * as format from '../format';
import { type DriverWords, driverWords } from './words';

/** The row of the query `allowance`, as box and cloud answer it. */
export interface Allowance {
  readonly energy_wh?: number;
  readonly sessions?: number;
  readonly caps?: {
    readonly energy_wh?: number;
    readonly sessions?: number;
    readonly period?: string;
    readonly connectors?: readonly string[];
    readonly hours?: readonly string[];
  } | null;
}

/** One line for each thing that was agreed; empty = no cap. */
export function allowanceSaid(told: Allowance, words: DriverWords): readonly string[] {
  const { caps } = told;
  if (!caps) return [];
  const period = words.period[caps.period ?? 'month'] ?? '';
  const lines: string[] = [];
  if (caps.energy_wh !== undefined) {
    lines.push(words.ofEnergy(format.energy(told.energy_wh ?? 0), format.energy(caps.energy_wh), period));
  }
  if (caps.sessions !== undefined) lines.push(words.ofCharges(told.sessions ?? 0, caps.sessions, period));
  if (caps.hours?.length) lines.push(words.hours(caps.hours.join(', ')));
  if (caps.connectors) lines.push(words.places(caps.connectors.join(', ')));
  return lines;
}

/** Fetched when it is looked at; while it cannot be had, nothing is said. */
export function AllowanceLines({ site }: { site: SiteState }): JSX.Element {
  const client = useClient();
  const words = driverWords();
  const [told, setTold] = useState<Allowance>({});
  useEffect(() => {
    let wanted = true;
    client.query<Allowance>(site.id, 'allowance').then(
      (page) => wanted && setTold(page.rows[0] ?? {}),
      () => {},
    );
    return () => {
      wanted = false;
    };
  }, [client, site.id, site.path]);
  return (
    <>
      {allowanceSaid(told, words).map((line) => (
        <span key={line} class="state-line number">
          {line}
        </span>
      ))}
    </>
  );
}
