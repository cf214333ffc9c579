/** Scenes: what a device may meet, one each. The driver's; the operator's stand in a file of their own. */
import { PlugsideError } from '../../src/client/errors';
import type { FakeClient, FakeRun } from '../../src/client/fake';

export type Scene = (client: FakeClient) => void;

/** `minutes` before the fake's now. */
function ago(client: FakeClient, minutes: number): string {
  return new Date(client.nowMs - minutes * 60_000).toISOString();
}

interface Bay {
  readonly place?: object;
  readonly session?: object | null;
  readonly charger?: object;
  readonly extra?: object;
  readonly site?: object;
}

/** A site with one charger whose one connector is as told, and perhaps a charge of one's own. */
function bay(client: FakeClient, told: Bay): string {
  const session = told.session
    ? {
        session: 's-1',
        charger: 'CP1',
        evse: 1,
        principal: 'me',
        started_at: ago(client, 42),
        heard_at: ago(client, 0),
        sampled_at: ago(client, 0),
        method: 'samples',
        ...told.session,
      }
    : null;
  const place = { evse: 1, connector: 1, plug: 'unknown', state: 'available', ...told.place };
  const view = {
    site: 'home',
    epoch: '1-a',
    seq: 1,
    chargers: {
      CP1: {
        id: 'CP1',
        name: 'Bay 12',
        adopted: true,
        online: true,
        connectors: { 1: session ? { ...place, session: 's-1' } : place },
        ...told.charger,
      },
      ...(told.extra ?? {}),
    },
    sessions: session ? { 's-1': session } : {},
  };
  curve(client);
  return client.addSite({ id: 'home', name: 'Home', view, ...told.site });
}

const CHARGING = { place: { state: 'charging', plug: 'in' }, session: { energy_wh: 3420, power_w: 7180, soc_percent: 64 } };

/** A charge's curve: up at once, level, then ever less. */
function curve(client: FakeClient): void {
  client.pages.meter = () => ({
    rows: Array.from({ length: 42 }, (_, minute) => ({
      sample: {
        at: ago(client, 42 - minute),
        power_w: minute === 0 ? 0 : minute < 9 ? 10_900 + (minute % 3) * 40 : 7180 + (minute % 3) * 30,
      },
    })),
    next: '',
  });
}

/** Sessions of the last months. */
function history(client: FakeClient): void {
  const rows = Array.from({ length: 24 }, (_, index) => {
    const began = client.nowMs - (index * 61 + 20) * 3_600_000;
    return {
      session: `s-${100 - index}`,
      charger: index % 3 === 0 ? 'CP2' : 'CP1',
      evse: 1,
      started_at: new Date(began).toISOString(),
      ended_at: new Date(began + (35 + index * 7) * 60_000).toISOString(),
      energy_wh: index === 4 ? null : 4200 + index * 913,
      meter_start_wh: 120_000 + index * 10,
      meter_stop_wh: 124_200 + index * 923,
      method: index === 4 ? 'unknown' : index === 5 ? 'integrated' : 'register',
      state: index === 2 ? 'provisional' : index === 5 ? 'revised' : 'ended',
      revision: index === 5 ? 2 : 0,
      attention: index === 4 ? ['no_energy'] : [],
    };
  });
  client.pages.sessions = (_, args, options) => {
    if (args.session) return { rows: rows.filter((row) => row.session === args.session), next: '' };
    return options.after ? { rows: rows.slice(12), next: '' } : { rows: rows.slice(0, 12), next: '12' };
  };
  client.pages.allowance = () => ({
    rows: [{ energy_wh: 62_400, sessions: 9, caps: { energy_wh: 100_000, sessions: 20, period: 'month' } }],
    next: '',
  });
  client.desk.device_add = () => ({ invite: `plugside1_${'Ab3-'.repeat(60)}`, life_s: 600 });
  client.pages.receipt = () => ({ rows: [{ format: 'plugside-receipt-1', session: 's-100' }], next: '' });
}

/** Whatever is asked gets this far. */
function answers(client: FakeClient, move: (run: FakeRun) => void): void {
  client.onCommand = (run) => queueMicrotask(() => move(run));
}

/** Twelve bays and more, in every state. */
function many(client: FakeClient): void {
  const states = ['available', 'preparing', 'charging', 'suspended_ev', 'finishing', 'reserved', 'unavailable', 'faulted', 'unknown'];
  const extra = Object.fromEntries(
    Array.from({ length: 14 }, (_, index) => [
      `CP${index + 2}`,
      {
        id: `CP${index + 2}`,
        name: index === 4 ? 'Visitors, next to the very long wall behind the bicycle shed' : `Bay ${index + 13}`,
        adopted: true,
        online: index !== 6,
        connectors: {
          1: { evse: 1, connector: 1, state: states[index % states.length], error_code: 'GroundFailure' },
          ...(index === 3 ? { 2: { evse: 2, connector: 1, state: 'available' } } : {}),
        },
      },
    ]),
  );
  bay(client, { ...CHARGING, extra });
}

const PAST = { path: null, live: false } as const;

function lost(client: FakeClient, minutes: number, told: Bay): void {
  const site = bay(client, told);
  client.set(site, { ...PAST, asOf: client.nowMs - minutes * 60_000, cloud: { known: true, open: false, failure: new PlugsideError('no_path') } });
}

export const SCENES: Readonly<Record<string, Scene>> = {
  welcome: () => {},
  'no-storage': (client) => {
    client.trouble.value = 'storage';
  },
  insecure: (client) => {
    client.trouble.value = 'insecure';
  },
  ready: (client) => {
    bay(client, { place: { state: 'available', plug: 'out' } });
    history(client);
  },
  plugged: (client) => void bay(client, { place: { state: 'preparing', plug: 'in' } }),
  charging: (client) => {
    bay(client, CHARGING);
    history(client);
  },
  limited: (client) =>
    void bay(client, {
      ...CHARGING,
      place: { ...CHARGING.place, session_limit: { limit_a: 10, proof: 'unproven', rank: 'driver' } },
    }),
  'paused-car': (client) =>
    void bay(client, { place: { state: 'suspended_ev', plug: 'in' }, session: { energy_wh: 18_420, power_w: 0, soc_percent: 100 } }),
  'paused-charger': (client) =>
    void bay(client, { place: { state: 'suspended_evse', plug: 'in' }, session: { energy_wh: 420, power_w: 0 } }),
  finished: (client) => void bay(client, { place: { state: 'finishing', plug: 'in' }, session: { ended_at: ago(client, 1), energy_wh: 9000 } }),
  'in-use': (client) => void bay(client, { place: { state: 'charging', plug: 'in' } }),
  kept: (client) => {
    bay(client, { place: { state: 'reserved', reserved_by: 'r-1', reserved_until: ago(client, -14) } });
    localStorage.setItem('plugside.app.reservations', 'r-1');
  },
  reserved: (client) => void bay(client, { place: { state: 'reserved', reserved_by: 'r-2', reserved_until: ago(client, -9) } }),
  'out-of-service': (client) => void bay(client, { place: { state: 'unavailable' } }),
  faulted: (client) => void bay(client, { place: { state: 'faulted', error_code: 'GroundFailure', info: 'RCD tripped' } }),
  confirming: (client) => void bay(client, { place: { state: 'available', observed: 'charging' } }),
  untold: (client) => void bay(client, { place: { state: 'charging', unattributed: true } }),
  'not-connected': (client) => void bay(client, { charger: { online: false, connectors: {} } }),
  'charger-lost': (client) =>
    void bay(client, { ...CHARGING, place: { ...CHARGING.place, stale: true }, charger: { online: false, name: 'Bay 12' } }),
  unreachable: (client) => lost(client, 12, CHARGING),
  reconnecting: (client) => {
    const site = bay(client, CHARGING);
    client.set(site, { ...PAST, asOf: client.nowMs - 9 * 60_000 });
  },
  'slept-a-day': (client) => lost(client, 26 * 60, CHARGING),
  'box-away': (client) => {
    const site = bay(client, CHARGING);
    client.set(site, { path: 'cloud', live: false, online: false, asOf: client.nowMs - 7 * 60_000 });
  },
  'through-cloud': (client) => void bay(client, { ...CHARGING, site: { path: 'cloud' } }),
  'local-ask': (client) => {
    client.localNetwork.value = 'prompt';
    bay(client, { ...CHARGING, site: { path: 'cloud' } });
  },
  'local-denied': (client) => {
    client.localNetwork.value = 'denied';
    bay(client, { ...CHARGING, site: { path: 'cloud' } });
  },
  connecting: (client) => {
    const site = bay(client, {});
    client.set(site, { ...PAST, shown: false, asOf: null, view: { ...client.sites.value[0]!.view, chargers: {} } });
  },
  'never-reached': (client) => {
    const site = bay(client, {});
    const cloud = { known: true, open: false, failure: new PlugsideError('no_path') };
    client.set(site, { ...PAST, shown: false, asOf: null, cloud, view: { ...client.sites.value[0]!.view, chargers: {} } });
  },
  'no-chargers': (client) => void client.addSite({ id: 'home', name: 'Home' }),
  denied: (client) => {
    const site = bay(client, {});
    client.set(site, { ...PAST, denied: new PlugsideError('revoked') });
  },
  newer: (client) => {
    const site = bay(client, {});
    client.set(site, { ...PAST, lan: { known: true, open: false, failure: new PlugsideError('unsupported_version') } });
  },
  'clock-off': (client) => {
    bay(client, CHARGING);
    client.nowMs = Date.now() - 7 * 24 * 3_600_000;
  },
  grace: (client) => {
    const site = bay(client, CHARGING);
    client.set(site, { graceUntil: client.nowMs + 3 * 24 * 3_600_000 });
  },
  'card-refused': (client) => {
    const site = bay(client, {});
    const { view, principal } = client.sites.value[0]!;
    const refused = { charger: 'CP1', at: new Date(client.nowMs - 60_000).toISOString(), because: '20 kWh a month were agreed' };
    client.set(site, { view: { ...view, refused_tags: { [principal]: refused } } });
  },
  many,
  'two-outlets': (client) =>
    void bay(client, {
      charger: {
        connectors: {
          1: { evse: 1, connector: 1, state: 'charging', plug: 'in' },
          2: { evse: 2, connector: 1, state: 'preparing', plug: 'in' },
        },
      },
    }),
  'no-history': (client) => {
    bay(client, {});
    client.pages.sessions = () => ({ rows: [], next: '' });
  },
  'history-behind': (client) => {
    bay(client, { place: { state: 'finishing', plug: 'in' }, session: { ended_at: ago(client, 1), energy_wh: 9000 } });
    let asked = 0;
    client.pages.sessions = () => {
      const open = { session: 's-1', charger: 'CP1', evse: 1, started_at: ago(client, 42), state: 'open', energy_wh: null };
      const ended = { ...open, state: 'ended', ended_at: ago(client, 1), energy_wh: 9000 };
      return { rows: [++asked < 3 ? open : ended], next: '' };
    };
  },
  'history-fails': (client) => {
    bay(client, {});
    client.pages.sessions = () => {
      throw new PlugsideError('site_offline');
    };
  },
  markup: (client) => {
    const evil = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';
    bay(client, { charger: { name: evil }, place: { state: 'faulted', error_code: evil, info: evil }, site: { name: evil } });
  },
  asked: (client) => void bay(client, { place: { state: 'preparing', plug: 'in' } }),
  accepted: (client) => {
    bay(client, { place: { state: 'preparing', plug: 'in' } });
    answers(client, (run) => run.tell({ at: 'accepted' }));
  },
  'waiting-for-car': (client) => {
    bay(client, { place: { state: 'available', plug: 'out' } });
    answers(client, (run) => run.tell({ at: 'confirmed', answer: 'accepted' }));
  },
  refused: (client) => {
    bay(client, { place: { state: 'preparing', plug: 'in' } });
    answers(client, (run) => run.refuse('limit_reached'));
  },
  rejected: (client) => {
    bay(client, { place: { state: 'preparing', plug: 'in' } });
    answers(client, (run) => run.tell({ at: 'settled', outcome: 'failed', error: new PlugsideError('charger_rejected') }));
  },
  'outcome-unknown': (client) => {
    bay(client, { place: { state: 'preparing', plug: 'in' } });
    answers(client, (run) => run.tell({ at: 'unknown', path: null, error: new PlugsideError('no_path') }));
  },
};
