/** One site: its sections, what they share, and what stands here while there is no right or no way to it. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type { SiteState } from '../../client';
import { isStaff, useClient, useNow, useSite } from '../client';
import * as format from '../format';
import { href } from '../router';
import { Empty, Failure, Loading, Notice, Page } from '../ui';
import { useAnswer, useDesk, wayOf } from './ask';
import { Chargers } from './chargers';
import { type Office, OfficeContext, type PersonRow } from './context';
import { Ledger } from './ledger';
import { Log } from './log';
import type { SiteRow } from './needs';
import { Overview } from './overview';
import { People } from './people';
import { Sessions } from './sessions';
import { operatorWords } from './words';

const SECTIONS = ['overview', 'chargers', 'sessions', 'people', 'log', 'ledger'] as const;
type Section = (typeof SECTIONS)[number];
/** How often the site's row is asked for anew, ms: what is followed is pushed, the ledger's numbers are not. */
const EVERY_MS = 20_000;

export function SiteFrame(props: { site: string; section: string; one: string | undefined }): JSX.Element {
  const site = useSite(props.site);
  if (site === undefined) return <Elsewhere site={props.site} />;
  if (!isStaff(site)) return <NotYours />;
  const section = SECTIONS.find((name) => name === props.section) ?? 'overview';
  return <Framed site={site} section={section} one={props.one} />;
}

function Framed({ site, section, one }: { site: SiteState; section: Section; one: string | undefined }): JSX.Element {
  const words = operatorWords();
  const desk = useDesk(site.id);
  // Also where the box is near: who has which right is known to the cloud, and the box has what was made at it.
  useEffect(() => desk.client.wantCloud(site.id), [desk.client, site.id]);
  const row = useAnswer(() => ownRow(desk.query, site), [site.id, desk.way]);
  const people = useAnswer(() => desk.query<PersonRow>('people', {}, '', 500), [site.id, desk.way]);
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.visibilityState !== 'visible') return;
      row.again();
      people.again();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [row.again, people.again]);
  const office: Office = useMemo(
    () => ({
      site: site.id,
      row: row.value,
      people: people.value?.rows ?? [],
      again: () => {
        row.again();
        people.again();
      },
    }),
    [site.id, row.value, people.value],
  );
  return (
    <OfficeContext.Provider value={office}>
      <Page title={site.name || site.id} back={['operator']} wide>
        <Sections site={site.id} section={section} />
        {site.live ? null : <Past site={site} />}
        {drawn(site, section, one)}
        <p class="out-of-sight" role="status">
          {words.sections[section]}
        </p>
      </Page>
    </OfficeContext.Provider>
  );
}

async function ownRow(query: ReturnType<typeof useDesk>['query'], site: SiteState): Promise<SiteRow | undefined> {
  const found = await query<SiteRow>('sites', wayOf(site) ? { search: site.id } : {}, '', 10);
  return found.rows.find((row) => row.site === site.id);
}

function drawn(site: SiteState, section: Section, one: string | undefined): ComponentChildren {
  if (!site.shown && section === 'overview') return <Loading rows={4} />;
  switch (section) {
    case 'overview':
      return <Overview site={site} />;
    case 'chargers':
      return <Chargers site={site} one={one} />;
    case 'sessions':
      return <Sessions site={site} one={one} />;
    case 'people':
      return <People site={site} one={one} />;
    case 'log':
      return <Log site={site} />;
    case 'ledger':
      return <Ledger site={site} />;
  }
}

function Sections({ site, section }: { site: string; section: Section }): JSX.Element {
  const words = operatorWords();
  const bar = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a phone the row is longer than the screen: the section that is open is to be seen.
    const open = bar.current?.querySelector<HTMLElement>('[aria-current]');
    if (bar.current && open) bar.current.scrollLeft = open.offsetLeft - (bar.current.clientWidth - open.offsetWidth) / 2;
  }, [section]);
  return (
    <nav class="op-sections" aria-label={words.sectionsLabel} ref={bar}>
      {SECTIONS.map((name) => (
        <a
          key={name}
          href={name === 'overview' ? href('operator', site) : href('operator', site, name)}
          aria-current={name === section ? 'page' : undefined}
          data-testid={`op-section-${name}`}
        >
          {words.sections[name]}
        </a>
      ))}
    </nav>
  );
}

/** What is shown is not the present. */
function Past({ site }: { site: SiteState }): JSX.Element {
  const words = operatorWords();
  const nowMs = useNow(site.id);
  const seen = site.asOf === null ? words.neverHeard : words.lastHeard(format.clock(site.asOf, nowMs));
  return (
    <Notice tone="wait" icon="cut" title={`${words.away}: ${seen}`} testId="op-past">
      {words.hints.offline}
    </Notice>
  );
}

// --- sites that are not on this device yet -----------------------------------------------------------------------

/** A site of the list for which this device has no grant yet: it is fetched from the cloud that told of it. */
function Elsewhere({ site }: { site: string }): JSX.Element {
  const client = useClient();
  const words = operatorWords();
  const helpers = client.sites.value.filter((one) => isStaff(one) && one.cloud.open);
  const fetched = useAnswer(
    helpers.length === 0 ? undefined : () => reach(client.access.bind(client), helpers, site),
    [site, helpers.map((one) => one.id).join()],
  );
  if (fetched.trouble?.code === 'unknown_site') return <NotYours />;
  return (
    <Page title={words.title} back={['operator']}>
      {fetched.trouble ? <Failure trouble={fetched.trouble} onRetry={fetched.again} /> : <Loading label={words.fetchingRight} rows={4} />}
    </Page>
  );
}

async function reach(
  access: (via: string, site: string) => Promise<void>,
  helpers: readonly SiteState[],
  site: string,
): Promise<true> {
  let last: unknown;
  for (const helper of new Map(helpers.map((one) => [one.cloudUrl, one])).values()) {
    try {
      await access(helper.id, site);
      return true;
    } catch (failed) {
      last = failed;
    }
  }
  throw last;
}

function NotYours(): JSX.Element {
  const words = operatorWords();
  return (
    <Page title={words.title} back={['operator']}>
      <Empty icon="lock" title={words.notYours} testId="op-not-yours">
        {words.notYoursHint}
      </Empty>
    </Page>
  );
}
