/** Which way a site is reached and how old what is shown is; and asking for the local network, after a tap. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import type { SiteState } from '../../client';
import { useClient, useNow } from '../client';
import { said } from '../errors';
import * as format from '../format';
import { href } from '../router';
import { Badge, Button, ButtonLink, Notice } from '../ui';
import { reachOf } from './state';
import { driverWords } from './words';

/** The way in use, as a badge. */
export function ReachBadge({ site }: { site: SiteState }): JSX.Element {
  const words = driverWords();
  if (site.denied !== null) {
    return (
      <Badge tone="bad" icon="lock">
        {words.notLetIn}
      </Badge>
    );
  }
  switch (reachOf(site)) {
    case 'lan':
      return (
        <Badge tone="good" icon="home">
          {words.onSite}
        </Badge>
      );
    case 'cloud':
      return (
        <Badge tone="flow" icon="cloud">
          {words.throughCloud}
        </Badge>
      );
    case 'box_away':
      return (
        <Badge tone="wait" icon="cut">
          {words.boxAway}
        </Badge>
      );
    case 'none':
      if (isConnecting(site)) {
        return (
          <Badge tone="off" icon="clock">
            {words.connectingShort}
          </Badge>
        );
      }
      return (
        <Badge tone="wait" icon="cut">
          {words.unreachable}
        </Badge>
      );
  }
}

/** No way is open, and none has failed: it may come at any moment, so nothing is called unreachable yet. */
export function isConnecting(site: SiteState): boolean {
  return site.path === null && site.denied === null && site.lan.failure === null && site.cloud.failure === null;
}

/** Said above what is shown when that is not the present: since when, why, and what to do. */
export function PastNotice({ site }: { site: SiteState }): JSX.Element | null {
  const client = useClient();
  const words = driverWords();
  const nowMs = useNow(site.id);
  if (site.denied !== null) return <Denied site={site} />;
  if (site.live || isConnecting(site)) return null;
  const reach = reachOf(site);
  const time = site.asOf === null ? undefined : format.clock(site.asOf, nowMs, zoneOf(site));
  const why = site.cloud.failure ?? site.lan.failure;
  const title = reach === 'box_away' ? words.boxAwayTitle : words.showing;
  return (
    <Notice
      tone="wait"
      icon="cut"
      testId="past"
      title={time === undefined ? words.neverShown : title(time)}
      action={
        <Button icon="reload" onPress={() => client.retry()}>
          {words.retry}
        </Button>
      }
    >
      {site.asOf === null ? null : <p>{words.ageLine(format.ago(Math.max(0, nowMs - site.asOf)))}</p>}
      <p>{reach === 'box_away' ? words.boxAwayLine : why?.code === 'untrusted_peer' ? said(why).what : words.tryWifi}</p>
    </Notice>
  );
}

function Denied({ site }: { site: SiteState }): JSX.Element | null {
  const words = driverWords();
  if (site.denied === null) return null;
  const { what, next } = said(site.denied);
  return (
    <Notice
      tone="bad"
      icon="lock"
      testId="denied"
      title={words.deniedTitle(site.name)}
      action={<ButtonLink href={href('join')}>{words.rejoin}</ButtonLink>}
    >
      <p>{what}</p>
      <p>{next}</p>
    </Notice>
  );
}

/** The site's time zone, where it is known; else times are in the zone of who looks. */
export function zoneOf(site: SiteState): string | undefined {
  return site.zone || undefined;
}

// --- the local network -----------------------------------------------------------------------------------------

const asking = signal(false);

/** One sentence and a button where the browser wants to be asked; plain words where it said no. */
export function LocalNetworkNotice({ site }: { site: SiteState }): JSX.Element | null {
  const client = useClient();
  const words = driverWords();
  if (site.path === 'lan' || !site.lan.known) return null;
  if (client.localNetwork.value === 'prompt') {
    const allow = async (): Promise<void> => {
      asking.value = true;
      await client.allowLocalNetwork();
      asking.value = false;
    };
    return (
      <Notice
        tone="off"
        icon="home"
        title={words.localTitle}
        testId="local-ask"
        action={
          <Button busy={asking.value} onPress={() => void allow()}>
            {words.localAllow}
          </Button>
        }
      >
        {words.localWhy}
      </Notice>
    );
  }
  if (client.localNetwork.value !== 'denied') return null;
  return (
    <Notice tone="off" icon="cloud" title={words.localDeniedTitle} testId="local-denied">
      <p>{words.localDenied}</p>
      <p>{words.localDeniedHow}</p>
    </Notice>
  );
}

/** Longer than clocks drift by themselves, and long enough to be confusing (ms). */
const CLOCK_OFF_MS = 5 * 60_000;

/** A clock of this device, or of the box, that is not to be trusted. */
export function ClockNotice({ site }: { site: SiteState }): JSX.Element | null {
  const client = useClient();
  const words = driverWords();
  const nowMs = client.siteNow(site.id);
  useNow(site.id);
  if (nowMs === null) return null;
  const off = Math.abs(Date.now() - nowMs);
  if (site.clock === 'floor') {
    return (
      <Notice tone="wait" icon="clock" testId="clock-box">
        {words.boxClock}
      </Notice>
    );
  }
  if (off < CLOCK_OFF_MS) return null;
  return (
    <Notice tone="wait" icon="clock" title={words.clockOffTitle} testId="clock-off">
      {words.clockOff(format.age(off))}
    </Notice>
  );
}
