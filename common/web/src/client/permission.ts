/**
 * May this page speak to devices on the local network? Chromium asks the person once (Local Network Access); others do
 * not ask. Until it is granted nothing is dialled there on our own, so that nobody is asked before they have tapped.
 */
import { signal, type ReadonlySignal, type Signal } from '@preact/signals-core';
import type { LocalNetwork } from './types';

/** The permission's names, the newest first. */
const NAMES = ['local-network', 'local-network-access'] as const;

/** Whether this page itself comes from the local network or this machine: then no browser asks. */
export function isLocalPage(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, '').toLowerCase();
  return (
    name === 'localhost' ||
    name.endsWith('.local') ||
    name.endsWith('.localhost') ||
    /^(127|10|192\.168|169\.254|172\.(1[6-9]|2\d|3[01]))(\.\d{1,3}){2,3}$/.test(name) ||
    /^(::1|(f[cd]|fe[89ab])[0-9a-f]*:[0-9a-f:]*)$/.test(name)
  );
}

async function status(): Promise<PermissionStatus | null> {
  for (const name of NAMES) {
    try {
      return await navigator.permissions.query({ name: name as PermissionName });
    } catch {
      // Not a name that this browser knows.
    }
  }
  return null;
}

export class Permission {
  private readonly state: Signal<LocalNetwork> = signal('unneeded');
  private asked = false;

  constructor(private readonly changed: () => void) {}

  get value(): ReadonlySignal<LocalNetwork> {
    return this.state;
  }

  /** Whether the local network may be dialled now. */
  get open(): boolean {
    return this.state.value === 'unneeded' || this.state.value === 'granted' || this.asked;
  }

  async watch(): Promise<void> {
    if (isLocalPage(globalThis.location?.hostname ?? 'localhost') || !navigator.permissions) return;
    const found = await status();
    if (!found) return;
    const read = () => {
      this.state.value = found.state;
      if (found.state !== 'prompt') this.asked = false;
      this.changed();
    };
    found.onchange = read;
    read();
  }

  /** From here on the local network is dialled, which makes the browser ask. */
  ask(): void {
    this.asked = this.state.value === 'prompt';
    this.changed();
  }

  /** The person has not answered: do not ask by ourselves again. */
  unanswered(): void {
    if (this.state.value === 'prompt') this.asked = false;
  }
}
