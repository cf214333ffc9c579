/** The client that the screens draw from, handed down by the shell, and the time that ages are told by. */
import { signal } from '@preact/signals';
import { createContext } from 'preact';
import { useContext, useMemo } from 'preact/hooks';
import type { AppClient, SiteState } from '../client';

export const ClientContext = createContext<AppClient | null>(null);

/** The client. Only below the shell. */
export function useClient(): AppClient {
  const client = useContext(ClientContext);
  if (client === null) throw new Error('no client above this component');
  return client;
}

/** Moves on once a second while the page is seen, so that ages and durations do. */
const tick = signal(0);

/** Start the second hand; returns what stops it. */
export function startTicking(): () => void {
  const timer = setInterval(() => {
    if (document.visibilityState === 'visible') tick.value += 1;
  }, 1000);
  return () => clearInterval(timer);
}

/** The site's time now, ms; this device's while the site has told none. Draws again each second. */
export function useNow(site?: string): number {
  const client = useClient();
  void tick.value;
  return (site === undefined ? null : client.siteNow(site)) ?? Date.now();
}

/** One site, drawn again when it changes and not when another one does. */
export function useSite(id: string): SiteState | undefined {
  const client = useClient();
  const one = useMemo(() => client.site(id), [client, id]);
  return one.value;
}

/** Whether this device acts for those who run the site. */
export function isStaff(site: SiteState): boolean {
  return site.role !== 'driver';
}
