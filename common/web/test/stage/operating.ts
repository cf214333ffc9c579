/** Scenes of whoever runs sites: one busy garage, four hundred sites, one where nothing is wrong. */
import { PlugsideError } from '../../src/client/errors';
import type { FakeClient, FakeRun } from '../../src/client/fake';
import type { Scene } from './scenes';

function ago(client: FakeClient, minutes: number): string {
  return new Date(client.nowMs - minutes * 60_000).toISOString();
}

const PEOPLE = [
  ['p-ann', 'Ann Ahlers', 'driver', 'active'],
  ['p-bob', 'Bob Berg', 'driver', 'active'],
  ['p-cem', 'Cem Çelik', 'driver', 'invited'],
  ['p-olga', 'Olga Ortmann', 'operator', 'active'],
] as const;

function people(client: FakeClient): void {
  client.pages.people = () => ({
    rows: PEOPLE.map(([principal, name, role, state], index) => ({
      principal,
      name,
      role,
      chargers: index === 1 ? ['CP1', 'CP2'] : null,
      devices: state === 'active' ? 1 + (index % 2) : 0,
      tags: index === 0 ? ['a1b2c3d4e5f60718'] : [],
      since: ago(client, 60 * 24 * 40),
      state,
      expires_at: state === 'invited' ? new Date(client.nowMs + 3_600_000 * 20).toISOString() : '',
    })),
    next: '',
  });
}

function session(client: FakeClient, number: number): object {
  const flagged = number % 7 === 3;
  const began = 90 + number * 190;
  return {
    session: `s-${number}`,
    charger: `CP${1 + (number % 6)}`,
    evse: 1,
    connector: 1,
    principal: number % 5 === 4 ? null : ['p-ann', 'p-bob'][number % 2],
    name: number % 5 === 4 ? undefined : ['Ann Ahlers', 'Bob Berg'][number % 2],
    started_at: ago(client, began),
    ended_at: ago(client, began - 74),
    meter_start_wh: 100_000 + number * 8000,
    meter_stop_wh: flagged ? null : 100_000 + number * 8000 + 7420,
    energy_wh: flagged ? 6900 : 7420,
    method: flagged ? 'integrated' : 'register',
    obtained: flagged ? 'estimated' : 'measured',
    reason: 'EVDisconnected',
    revision: 0,
    state: flagged ? 'provisional' : 'ended',
    attention: flagged ? ['provisional', 'estimated'] : [],
    flags: flagged ? ['estimated'] : [],
  };
}

const SESSIONS = 160;

function sessions(client: FakeClient): void {
  client.pages.sessions = (_site, args, options) => {
    const all = Array.from({ length: SESSIONS }, (_, number) => session(client, number) as Record<string, unknown>).filter(
      (row) =>
        (!args.session || row.session === args.session) &&
        (!args.charger || row.charger === args.charger) &&
        (!args.principal || row.principal === args.principal) &&
        (!args.flagged || (row.attention as string[]).length > 0),
    );
    const first = Number(options.after || 0);
    const limit = options.limit ?? 50;
    return { rows: all.slice(first, first + limit), next: first + limit < all.length ? String(first + limit) : '' };
  };
  client.pages.session = () => ({ rows: story(client), next: '' });
  client.pages.meter = () => ({ rows: meter(client), next: '' });
  client.pages.orphans = () => ({
    rows: [
      { orphan: 'o-1', charger: 'CP3', what: 'stop', reason: 'unknown_transaction', recorded_at: ago(client, 200), meter_wh: 120_400 },
    ],
    next: '',
  });
}

function story(client: FakeClient): object[] {
  const fact = (seq: number, kind: string, minutes: number, body: object): object => ({
    seq,
    kind,
    at: ago(client, minutes),
    clock: 'synced',
    body,
  });
  return [
    fact(1, 'command_accepted', 90, { name: 'start', principal: 'p-bob', path: 'cloud', charger: 'CP4', command: 'c1' }),
    fact(2, 'command_sent', 90, { command: 'c1', attempt: 1 }),
    fact(3, 'command_confirmed', 90, { command: 'c1', answer: 'accepted' }),
    fact(4, 'session_started', 89, { started_at: ago(client, 89), meter_start_wh: 124_000, authorization: 'accepted', principal: 'p-bob', transaction: '1804', flags: [] }),
    fact(5, 'command_settled', 89, { command: 'c1', outcome: 'succeeded' }),
    fact(9, 'session_ended', 16, { ended_at: ago(client, 16), energy_wh: 6900, method: 'integrated', obtained: 'estimated', reason: 'PowerLoss', flags: ['estimated'] }),
  ];
}

function meter(client: FakeClient): object[] {
  return Array.from({ length: 74 }, (_, minute) => ({
    at: ago(client, 89 - minute),
    sample: {
      at: ago(client, 89 - minute),
      energy_wh: 124_000 + minute * 95,
      power_w: minute < 2 ? 900 : Math.max(1400, 7200 - Math.max(0, minute - 40) * 170),
    },
  }));
}

function log(client: FakeClient): void {
  const rows = [
    ['unlock', 'CP2', 'succeeded', ''],
    ['reset', 'CP5', 'unknown', ''],
    ['start', 'CP1', 'succeeded', ''],
    ['stop', 'CP4', '', ''],
    ['limit', 'CP3', 'failed', 'charger_rejected'],
  ] as const;
  client.pages.commands = () => ({
    rows: rows.map(([name, charger, outcome, code], index) => ({
      command: `c-${index}`,
      name,
      charger,
      evse: 1,
      principal: 'p-olga',
      person: 'Olga Ortmann',
      role: 'operator',
      path: 'cloud',
      session: null,
      at: ago(client, 5 + index * 31),
      state: outcome ? 'settled' : 'confirmed',
      answer: 'accepted',
      outcome,
      code,
      detail: '',
    })),
    next: '',
  });
  client.pages.audit = () => ({
    rows: [
      { seq: 31, kind: 'security_noted', at: ago(client, 3), body: { what: 'unknown_path', address: '192.0.2.9', detail: '/ocpp' } },
      { seq: 30, kind: 'authorization_changed', at: ago(client, 60), body: { change: 'granted', principal: 'p-ann', role: 'driver' } },
      { seq: 29, kind: 'charger_adopted', at: ago(client, 61), body: { charger: 'CP1', name: 'Bay 1' } },
    ],
    next: '',
  });
  client.pages.acts = () => ({
    rows: [{ id: 'a', at: ago(client, 60), actor: 'p-olga', what: 'invite', detail: 'driver p-ann' }],
    next: '',
  });
}

function row(client: FakeClient, number: number, more: object = {}): object {
  return {
    site: `site-${number}`,
    name: `Garage ${String(number).padStart(3, '0')}`,
    online: true,
    seen_at: ago(client, 1),
    software: '0.9.0',
    zone: 'Europe/Berlin',
    clock: 'synced',
    skew_ms: 0,
    backlog: 0,
    addresses: ['192.0.2.10:9443'],
    needs: {},
    chargers: { all: 8, online: 8, charging: number % 8 },
    ...more,
  };
}

function paged(rows: object[]): (site: string, args: Readonly<Record<string, unknown>>, options: { after?: string; limit?: number }) => { rows: object[]; next: string } {
  return (_site, args, options) => {
    const wanted = rows.filter((one) => {
      const { name, site, needs } = one as { name: string; site: string; needs: object };
      const text = String(args.search ?? '').toLowerCase();
      return (name.toLowerCase().includes(text) || site.includes(text)) && (!args.needing || Object.keys(needs).length > 0);
    });
    const first = Number(options.after || 0);
    const limit = options.limit ?? 50;
    return { rows: wanted.slice(first, first + limit), next: first + limit < wanted.length ? String(first + limit) : '' };
  };
}

/** A garage with everything that can be wrong. */
function garage(client: FakeClient, more: object = {}): string {
  const place = (state: string, other: object = {}): object => ({ 1: { evse: 1, connector: 1, state, plug: 'in', since: ago(client, 44), ...other } });
  const charger = (number: number, other: object): object => ({
    id: `CP${number}`,
    name: `Bay ${number}`,
    adopted: true,
    online: true,
    vendor: 'Volta',
    model: 'Wall 22',
    serial: `V22-${1000 + number}`,
    firmware: '4.2.1',
    protocol: 'ocpp1.6',
    address: `192.0.2.${20 + number}`,
    since: ago(client, 3000),
    ...other,
  });
  const view = {
    chargers: {
      CP1: charger(1, { connectors: place('charging', { session: 's-live' }) }),
      CP2: charger(2, { connectors: place('available', { plug: 'out' }) }),
      CP3: charger(3, { connectors: place('faulted', { error_code: 'GroundFailure', info: 'RCD tripped' }) }),
      CP4: charger(4, { online: false, connectors: place('available', { stale: true }), since: ago(client, 300) }),
      CP5: charger(5, { connectors: place('suspended_ev') }),
      CP6: charger(6, { connectors: { ...place('preparing'), 2: { evse: 2, connector: 1, state: 'unavailable', plug: 'out', out_of_service: true } } }),
      'NEW-7': { id: 'NEW-7', adopted: false, address: '192.0.2.77', since: ago(client, 4) },
    },
    sessions: {
      's-live': { session: 's-live', charger: 'CP1', evse: 1, principal: 'p-ann', started_at: ago(client, 52), heard_at: ago(client, 0), sampled_at: ago(client, 0), energy_wh: 6120, power_w: 7180, method: 'samples' },
    },
    taps: { '0a1b2c3d4e5f': { charger: 'CP2', at: ago(client, 2) } },
  };
  people(client);
  sessions(client);
  log(client);
  client.pages.fleet = () => ({ rows: [{ sites: 1, online: 1, needing: 1 }], next: '' });
  client.pages.sites = paged([
    row(client, 1, { site: 'home', name: 'Home', needs: { faulted: 1, lost: 1, flagged: 23, orphans: 1, waiting: 1, taps: 1 }, backlog: 12 }),
  ]);
  client.pages.chargers = () => ({
    rows: [
      {
        id: 'CP1',
        why: [
          { reason: 'connected', sentence: 'It is connected.', advice: 'Nothing to do.' },
          { reason: 'clock_wrong', sentence: 'Its clock is wrong.', advice: 'Set it at the charger.' },
        ],
      },
      {
        id: 'CP4',
        why: [
          {
            reason: 'gone',
            sentence: 'It was connected and is gone.',
            advice: 'See whether it has power and network; it dials again by itself.',
          },
        ],
      },
    ],
    next: '',
  });
  client.desk.invite = () => ({
    invite: `plugside1_${'Q'.repeat(320)}`,
    principal: 'p-new',
    expires_at: new Date(client.nowMs + 24 * 3_600_000).toISOString(),
  });
  client.desk.reconcile = () => ({
    ok: true,
    sessions: 1204,
    lost: 0,
    doubled: 0,
    differing: 0,
    first_difference: null,
    chain_intact: true,
    quarantined: 0,
    compared: { with: 'the box', statement: "Compared with the box's own ledger, as it is now, and with the facts that it has sent." },
  });
  client.desk.revoke = () => ({});
  client.desk.invite_withdraw = () => ({});
  client.onCommand = (run: FakeRun) => {
    run.tell({ at: 'confirmed', answer: 'accepted' });
    if (run.name === 'reset') run.tell({ at: 'unknown', outcome: 'unknown' });
    else run.tell({ at: 'settled', outcome: 'succeeded' });
  };
  return client.addSite({ id: 'home', name: 'Home', role: 'operator', principal: 'p-olga', view, path: 'cloud', ...more });
}

export const OPERATING: Readonly<Record<string, Scene>> = {
  garage: (client) => void garage(client),
  'garage-alone': (client) => void garage(client, { cloudUrl: '', path: 'lan' }),
  'garage-past': (client) => {
    const site = garage(client);
    client.set(site, { live: false, path: null, asOf: client.nowMs - 3_600_000 });
  },
  'all-well': (client) => {
    garage(client, { view: { chargers: {} } });
    client.pages.sites = paged([row(client, 1, { site: 'home', name: 'Home' })]);
    client.pages.sessions = () => ({ rows: [], next: '' });
    client.pages.people = () => ({ rows: [], next: '' });
    client.pages.commands = () => ({ rows: [], next: '' });
    client.pages.orphans = () => ({ rows: [], next: '' });
  },
  estate: (client) => {
    garage(client);
    const rows = Array.from({ length: 400 }, (_, number) => {
      if (number % 97 === 5) return row(client, number, { online: false, needs: { offline: 1, flagged: 2 }, seen_at: ago(client, 600 + number) });
      if (number % 41 === 3) return row(client, number, { needs: { faulted: 2, lost: 1, taps: 1 } });
      if (number % 29 === 4) return row(client, number, { needs: { waiting: 1 }, backlog: 40 });
      return row(client, number);
    }) as { online: boolean; needs: object }[];
    rows.sort((a, b) => Object.keys(b.needs).length - Object.keys(a.needs).length);
    client.pages.sites = paged(rows);
    client.pages.fleet = () => ({
      rows: [{ sites: 400, online: rows.filter((one) => one.online).length, needing: rows.filter((one) => Object.keys(one.needs).length > 0).length }],
      next: '',
    });
    client.onAccess = (site) => (site === 'site-7' ? { name: 'Garage 007', role: 'operator', view: { chargers: {} } } : null);
  },
  'not-in-order': (client) => {
    garage(client);
    client.desk.reconcile = () => ({
      ok: false,
      sessions: 1204,
      lost: 1,
      doubled: 0,
      differing: 0,
      first_difference: { kind: 'lost', charger: 'CP1', sessions: ['s-3'], side: 'the box', at: '', message: 'the cloud has no session s-3, the box has' },
      chain_intact: false,
      quarantined: 2,
      compared: { with: 'the box', statement: 'Compared with the box’s own ledger.' },
    });
  },
  'asks-fail': (client) => {
    garage(client);
    for (const what of Object.keys(client.pages)) {
      client.pages[what] = () => {
        throw new PlugsideError('site_offline');
      };
    }
  },
  evil: (client) => {
    const site = garage(client);
    const text = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';
    client.set(site, { name: text });
    client.fact(site, 'charger_adopted', { charger: 'CP2', name: text });
    client.pages.people = () => ({
      rows: [{ principal: text, name: text, role: 'driver', chargers: null, devices: 1, tags: [text], since: text, state: 'active', expires_at: '' }],
      next: '',
    });
  },
};
