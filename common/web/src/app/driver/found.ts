/** Chargers among the sites of this device: all, by a sticker's link, in the order that people count them. Pure. */
import type { ChargerView, SiteState } from '../../client';

export interface Found {
  readonly site: SiteState;
  readonly charger: ChargerView;
}

/** What a charger is called: its name, or its identity. */
export function called(charger: ChargerView): string {
  return charger.name || charger.id;
}

/** A site's chargers, as people count: 2 before 10. */
export function chargersOf(site: SiteState): readonly ChargerView[] {
  return Object.values(site.view.chargers)
    .filter((charger) => charger.adopted)
    .sort((a, b) => called(a).localeCompare(called(b), undefined, { numeric: true }) || (a.id < b.id ? -1 : 1));
}

/** Every charger of every site. */
export function all(sites: readonly SiteState[]): readonly Found[] {
  return sites.flatMap((site) => chargersOf(site).map((charger) => ({ site, charger })));
}

/** The charger of a link: `SITE/CHARGER`, or `CHARGER` alone as on a sticker; in any case of its letters. */
export function linked(sites: readonly SiteState[], segments: readonly string[]): readonly Found[] {
  const [first = '', second] = segments;
  const named = (text: string, wanted: string): boolean => text.toLowerCase() === wanted.toLowerCase();
  const everywhere = all(sites);
  if (second !== undefined) {
    const exact = everywhere.filter(
      (found) => (found.site.id === first || named(found.site.name, first)) && named(found.charger.id, second),
    );
    if (exact.length > 0) return exact;
  }
  return second === undefined ? everywhere.filter((found) => named(found.charger.id, first)) : [];
}
