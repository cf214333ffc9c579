/**
 * Several tabs of one device: each has links of its own, which harms nobody. They tell each other what one of them has
 * joined or left, and a tab that lives is not taken for gone by another that would ask after its commands.
 */
import { uuid7 } from './bytes';

const CHANNEL = 'plugside';

export class Tabs {
  readonly id = uuid7(Date.now());
  private readonly channel: BroadcastChannel | null;
  private release: () => void = () => {};

  constructor() {
    this.channel = typeof BroadcastChannel === 'undefined' || typeof document === 'undefined' ? null : new BroadcastChannel(CHANNEL);
    const held = new Promise<void>((resolve) => {
      this.release = resolve;
    });
    // The lock goes when this tab does, however it goes.
    void locks()?.request(name(this.id), () => held).catch(() => {});
  }

  /** Hear which site another tab has changed. */
  listen(changed: (site: string) => void): void {
    if (!this.channel) return;
    this.channel.onmessage = (event: MessageEvent<unknown>) => {
      if (typeof event.data === 'string') changed(event.data);
    };
  }

  tell(site: string): void {
    this.channel?.postMessage(site);
  }

  /** Whether the tab with this id is open; false where nobody can tell. */
  async lives(id: string): Promise<boolean> {
    if (id === this.id) return true;
    const found = await locks()
      ?.query()
      .catch(() => null);
    return found?.held?.some((lock) => lock.name === name(id)) ?? false;
  }

  close(): void {
    this.release();
    this.channel?.close();
  }
}

function name(id: string): string {
  return `plugside-tab-${id}`;
}

function locks(): LockManager | undefined {
  return typeof document === 'undefined' ? undefined : globalThis.navigator?.locks;
}
