/** What all screens of one site share: its row with the zone, who is who, and its times in words. */
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import * as format from '../format';
import type { SiteRow } from './needs';

/** A person in the answer to the query `people`. */
export interface PersonRow {
  readonly principal: string;
  readonly name: string;
  readonly role: string;
  readonly chargers: readonly string[] | null;
  readonly devices: number;
  readonly tags: readonly string[];
  readonly since: string;
  readonly state: 'active' | 'waiting' | 'invited';
  readonly expires_at: string;
}

export interface Office {
  readonly site: string;
  readonly row: SiteRow | undefined;
  readonly people: readonly PersonRow[];
  /** Ask for row and people again: something was changed. */
  readonly again: () => void;
}

export const OfficeContext = createContext<Office>({ site: '', row: undefined, people: [], again: () => {} });

export function useOffice(): Office {
  return useContext(OfficeContext);
}

/** The site's zone; undefined = nobody has named one, and times are this device's. */
export function zoneOf(office: Office): string | undefined {
  return namedZone(office.row?.zone);
}

/** A zone that somebody has chosen: every site has UTC at first, which says nothing of where it is. */
export function namedZone(zone: string | undefined): string | undefined {
  return zone === 'UTC' ? undefined : zone || undefined;
}

/** Somebody's name where it is known, else the end of the pseudonym. */
export function whoIs(office: Office, principal: string | null | undefined, name = ''): string {
  if (!principal) return '';
  return name || office.people.find((person) => person.principal === principal)?.name || principal;
}

/** An instant as day and time at the site; a text that names none as it is. */
export function when(at: string, office: Office): string {
  const ms = format.instant(at);
  return ms === undefined ? at : format.moment(ms, zoneOf(office));
}
