/** The client in the hands of a test: `globalThis.test`. What it returns is plain data. */
import { Client, PlugsideError, type Run, type SiteState, type Stage } from '../../src/client';
import { DIAL, type Dial } from '../../src/client/dialling';
import type { Link } from '../../src/client/link';

/** A link that a test can make silent: what is said and heard on it is lost, and nobody is told. */
function muffled(link: Link, silent: () => boolean): Link {
  return {
    ...link,
    send: (text) => {
      if (!silent()) link.send(text);
    },
    listen: (frame, ended) =>
      link.listen((text) => {
        if (!silent()) frame(text);
      }, ended),
  };
}

class Test {
  client!: Client;
  readonly runs = new Map<string, Run>();
  /** Way → true: its links carry nothing, and new ones cannot be had. */
  readonly silent = { lan: false, cloud: false };
  /** Way → true: new links cannot be had, and those that are open were cut. */
  readonly cut = { lan: false, cloud: false };
  readonly dialled: string[] = [];
  private readonly links: Link[] = [];

  private readonly dial: Dial = {
    canPin: DIAL.canPin,
    box: async (address, pins) => this.opened('lan', address, () => DIAL.box(address, pins)),
    socket: async (url, path) => this.opened(path, url, () => DIAL.socket(url, path)),
  };

  private async opened(way: 'lan' | 'cloud', where: string, dial: () => Promise<Link>): Promise<Link> {
    this.dialled.push(where);
    if (this.cut[way]) throw new PlugsideError('no_path', 'cut by the test');
    const link = await dial();
    this.links.push(link);
    return muffled(link, () => this.silent[way]);
  }

  async open(): Promise<void> {
    this.client = await Client.open({ dial: this.dial });
  }

  async join(text: string): Promise<string> {
    return this.client.join(text, 'a test');
  }

  cutWay(way: 'lan' | 'cloud'): void {
    this.cut[way] = true;
    for (const link of this.links) if (link.path === way) link.close();
  }

  state(site: string): SiteState | undefined {
    return this.client.site(site).value;
  }

  start(site: string, charger: string): string {
    return this.keep(this.client.start(site, charger));
  }

  stop(site: string, charger: string, session: string): string {
    return this.keep(this.client.stop(site, charger, session));
  }

  private keep(run: Run): string {
    this.runs.set(run.id, run);
    return run.id;
  }

  /** The end of a command, as plain data. */
  async over(id: string): Promise<unknown> {
    const run = this.runs.get(id) ?? this.client.runs.value.find((one) => one.id === id);
    if (!run) throw new Error(`no run ${id}`);
    return plain(await run.over);
  }

  /** Ask, and give the code of what went wrong. */
  async fails(work: () => Promise<unknown>): Promise<string> {
    try {
      await work();
      return '';
    } catch (failed) {
      return failed instanceof PlugsideError ? failed.code : String(failed);
    }
  }
}

function plain(stage: Stage): unknown {
  return { ...stage, error: stage.error && { code: stage.error.code, message: stage.error.message } };
}

declare global {
  var test: Test;
}
globalThis.test = new Test();
