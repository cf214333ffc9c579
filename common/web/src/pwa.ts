/**
 * The app as something installed: the service worker keeps its shell, and a newer build waits until it is let in.
 *
 * A page is never reloaded under somebody's hands: `newer` says that there is a newer build, `takeNewer` loads it.
 */
import { signal, type ReadonlySignal } from '@preact/signals-core';

/** How often a page that stays open looks for a newer build, in ms. */
const LOOK_EVERY_MS = 3_600_000;

const waiting = signal<ServiceWorker | null>(null);
const found = signal(false);

/** A newer build is here, and can be loaded. */
export const newer: ReadonlySignal<boolean> = found;

/** Load the newer build now. */
export function takeNewer(): void {
  const worker = waiting.value;
  if (!worker) {
    location.reload();
    return;
  }
  navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
  worker.postMessage('take over');
}

function notice(registration: ServiceWorkerRegistration): void {
  // The very first one has nobody to take over from.
  if (!registration.waiting || !navigator.serviceWorker.controller) return;
  waiting.value = registration.waiting;
  found.value = true;
}

/** Keep the shell for a start with no network. Where the browser has no service worker, nothing happens. */
export async function keepShell(): Promise<void> {
  if (!('serviceWorker' in navigator) || import.meta.env.DEV) return;
  try {
    const registration = await navigator.serviceWorker.register('/sw.js');
    notice(registration);
    registration.addEventListener('updatefound', () => {
      registration.installing?.addEventListener('statechange', () => notice(registration));
    });
    const look = () => void registration.update().catch(() => {});
    setInterval(look, LOOK_EVERY_MS);
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') look();
    });
  } catch {
    // Storage denied, or a certificate that the browser was only talked into: the app works, online.
  }
}
