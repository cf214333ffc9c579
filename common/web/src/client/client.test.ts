import { afterEach, beforeEach, expect, test } from 'vitest';
import { Client } from './client';
import type { Dial } from './dialling';
import { PlugsideError } from './errors';
import { certificate, FakeServer, grantOf, NOW_S, PACE } from './fakeserver';
import type { ClientMessage } from './generated';
import { MemoryStore, type SiteEntry } from './store';

const FRESH = grantOf(NOW_S - 60, NOW_S + 7 * 86_400);

let box: FakeServer;
let cloud: FakeServer;
let store: MemoryStore;
let client: Client;
let entry: SiteEntry;
let pin: string;

const dial: Dial = {
  canPin: () => true,
  box: async (address, pins) => {
    if (address !== '192.0.2.7:9443') throw new PlugsideError('no_path', address);
    return box.dial(pins, pin);
  },
  socket: async () => cloud.dial(null),
};

const access = { site: 's', role: 'driver', principal: 'me' };

function snapshotOf(seq: number, more: object = {}) {
  const charger = { id: 'CP1', adopted: true, online: true, connectors: { 1: { evse: 1, state: 'preparing' } } };
  const at = '2027-01-15T08:00:00.000Z';
  return { kind: 'snapshot' as const, site: 's', epoch: '1-a', seq, at, view: { site: 's', chargers: { CP1: charger } }, ...more };
}

beforeEach(async () => {
  [box, cloud, pin] = await Promise.all([FakeServer.make('lan'), FakeServer.make('cloud'), certificate('own')]);
  box.certificates = [pin];
  box.sites = [{ ...access, key: box.id, addresses: ['192.0.2.7:9443'] }];
  cloud.sites = [{ ...access, key: box.id, addresses: ['192.0.2.7:9443'], certificates: [pin], online: true }];
  box.snapshot = () => snapshotOf(5);
  cloud.snapshot = () => snapshotOf(5);
  store = new MemoryStore();
  entry = {
    site: 's',
    name: 'Home',
    grant: FRESH,
    role: 'driver',
    principal: 'me',
    box: box.id,
    addresses: ['192.0.2.7:9443', '192.0.2.8:9443'],
    lastGood: '',
    cloudUrl: 'https://cloud.example',
    cloudKey: cloud.id,
    boxAtMs: 0,
    proven: [pin],
    hinted: [],
  };
});

afterEach(() => client?.close());

async function open(change: Partial<SiteEntry> = {}): Promise<void> {
  await store.putSite({ ...entry, ...change });
  client = await Client.open({ store, pace: PACE, dial, origin: 'https://cloud.example' });
}

/** Wait for something that is about to be so. */
async function until(holds: () => unknown): Promise<void> {
  for (let tries = 0; tries < 2000; tries += 1) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`in vain: ${holds}`);
}

const state = () => client.site('s').value;
const onLan = () => state()?.path === 'lan' && state()?.shown;
const accepts = (server: FakeServer, more: object = { outcome: 'succeeded', session: 'S1' }) => {
  server.onCommand = ({ id }, call) => {
    call.say({ kind: 'accepted', id });
    call.say({ kind: 'confirmed', id, answer: 'accepted' });
    call.say({ kind: 'settled', id, ...more });
  };
};

test('the LAN is preferred, and the cloud is not even asked where it is there', async () => {
  await open();
  await until(onLan);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(cloud.told('command')).toEqual([]);
  expect(state()).toMatchObject({ live: true, denied: null, online: true });
  expect(state()?.view.chargers['CP1']?.connectors[1]?.plug).toBe('unknown');
});

test('a command is kept before it is sent, and forgotten once its end is known', async () => {
  await open();
  await until(onLan);
  let kept = 0;
  box.onCommand = async ({ id }, call) => {
    kept = (await store.pending()).filter((one) => one.id === id).length;
    call.say({ kind: 'settled', id, outcome: 'succeeded', session: 'S1' });
  };
  const run = client.start('s', 'CP1', 1);
  expect(run.stage.value.at).toBe('asked');
  expect(await run.over).toMatchObject({ at: 'settled', outcome: 'succeeded', session: 'S1', path: 'lan' });
  expect(kept).toBe(1);
  let left: readonly unknown[] = [0];
  const look = async () => {
    left = await store.pending();
  };
  await until(() => (void look(), left.length === 0));
});

test('a silent LAN is doubted, and the same bytes go by the cloud', async () => {
  await open();
  await until(onLan);
  accepts(cloud);
  const run = client.start('s', 'CP1', 1);
  expect(await run.over).toMatchObject({ at: 'settled', path: 'cloud' });
  expect(box.told('command')).toHaveLength(1);
  expect(cloud.told('command')[0]?.envelope).toBe(box.told('command')[0]?.envelope);
});

test('a way that dies after it was sent: the other one is asked, under the same id', async () => {
  await open();
  await until(onLan);
  accepts(cloud);
  box.onCommand = (_, call) => {
    box.down = true;
    call.close();
  };
  const run = client.start('s', 'CP1', 1);
  expect(await run.over).toMatchObject({ at: 'settled', outcome: 'succeeded', path: 'cloud' });
  expect(new Set([...box.told('command'), ...cloud.told('command')].map((one) => one.id))).toEqual(new Set([run.id]));
});

test('what the box refuses is refused; what one way declines, the other may do', async () => {
  await open();
  await until(onLan);
  box.onCommand = ({ id }, call) => call.say({ kind: 'refused', id, code: 'connector_in_use', message: 'In use.' });
  const refused = await client.start('s', 'CP1', 1).over;
  expect([refused.at, refused.error?.code, refused.error?.message]).toEqual(['refused', 'connector_in_use', 'In use.']);
  expect(cloud.told('command')).toEqual([]);
  box.down = true;
  box.cut();
  await until(() => state()?.path === 'cloud');
  cloud.onCommand = ({ id }, call) => call.say({ kind: 'refused', id, code: 'site_offline', message: '' });
  const offline = await client.start('s', 'CP1', 1).over;
  expect([offline.at, offline.error?.code]).toEqual(['refused', 'site_offline']);
});

test('an outcome that nobody has told is unknown, and is told once the site shows it', async () => {
  await open();
  await until(onLan);
  box.onCommand = ({ id }, call) => {
    call.say({ kind: 'accepted', id });
    call.say({ kind: 'settled', id, outcome: 'unknown', code: 'charger_timeout', message: 'It did not answer.' });
  };
  const stage = await client.start('s', 'CP1', 1).over;
  expect(stage).toMatchObject({ at: 'settled', outcome: 'unknown' });
  expect(stage.error?.code).toBe('charger_timeout');
});

test('with no way at all nothing is sent, not even later', async () => {
  box.down = cloud.down = true;
  await open();
  const run = client.start('s', 'CP1', 1);
  expect(await run.over).toMatchObject({ at: 'refused' });
  box.down = false;
  client.retry();
  await until(onLan);
  expect(box.told('command')).toEqual([]);
  expect(await store.pending()).toEqual([]);
});

test('an older state is never shown after a newer one', async () => {
  await open();
  await until(onLan);
  box.push({ kind: 'fact', site: 's', epoch: '1-a', seq: 9, record: record('charger_lost', { charger: 'CP1' }) });
  await until(() => state()?.view.seq === 9);
  cloud.snapshot = () => snapshotOf(7, { source: 'copy' });
  box.down = true;
  box.cut();
  await until(() => state()?.path === 'cloud');
  await until(() => cloud.told('follow').length > 0);
  expect(cloud.told('follow')[0]?.since).toEqual({ s: ['1-a', 9] });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(state()?.view.seq).toBe(9);
  expect(state()?.view.chargers['CP1']?.online).toBe(false);
});

test('a box whose card was put back to an earlier epoch is shown as it is', async () => {
  await open();
  await until(onLan);
  box.snapshot = () => ({ ...snapshotOf(7), epoch: '2-b' });
  box.cut();
  await until(() => state()?.view.epoch === '2-b');
  box.snapshot = () => snapshotOf(3);
  box.cut();
  await until(() => state()?.view.seq === 3);
  expect(state()?.view.epoch).toBe('1-a');
});

test('what was known is shown at once by the next page, before anybody has answered', async () => {
  await open();
  await until(onLan);
  client.close();
  expect((await store.kept()).map((one) => one.site)).toEqual(['s']);
  box.down = cloud.down = true;
  await open();
  expect(state()).toMatchObject({ shown: true, live: false, path: null });
  expect(state()?.view.seq).toBe(5);
  expect(state()?.asOf).toBeGreaterThan(0);
});

test('a copy in the cloud is not the present, and says of when it is', async () => {
  box.down = true;
  cloud.sites = [{ ...access, key: box.id, online: false }];
  cloud.snapshot = () => snapshotOf(5, { source: 'copy', age_ms: 3_600_000 });
  await open();
  await until(() => state()?.shown);
  expect(state()).toMatchObject({ live: false, online: false });
  expect(Math.abs((state()?.asOf ?? 0) - (cloud.nowMs - 3_600_000))).toBeLessThan(5000);
  cloud.push({ kind: 'presence', site: 's', online: true, at: '2027-01-15T08:00:01.000Z' });
  await until(() => state()?.live);
});

test('a grant past half its life is renewed, and one that has run out before anything else', async () => {
  const renewed = grantOf(NOW_S, NOW_S + 86_400);
  box.renews = () => ({ grant: renewed, site: box.sites[0] as never });
  await open({ grant: grantOf(NOW_S - 86_400, NOW_S + 3600) });
  await until(() => box.told('renew').length === 1);
  await until(() => box.told('auth').at(-1)?.grants?.[0] === renewed);
  const kept = async () => (await store.sites())[0]?.grant;
  expect(await kept()).toBe(renewed);
});

test('a box whose cloud is away renews nothing of it, so the cloud is asked by the way that this device has', async () => {
  const renewed = grantOf(NOW_S, NOW_S + 86_400);
  box.renewRefusal = 'cloud_unreachable';
  cloud.renews = () => ({ grant: renewed, site: cloud.sites[0] as never });
  await open({ grant: grantOf(NOW_S - 86_400, NOW_S + 3600) });
  await until(() => cloud.told('renew').length === 1);
  await until(() => cloud.told('auth').at(-1)?.grants?.[0] === renewed);
  expect((await store.sites())[0]?.grant).toBe(renewed);
  expect(onLan()).toBe(true);
});

test('a right in its grace is told, until when, and not any more once it is renewed', async () => {
  const until_ = '2027-01-20T08:00:00.000Z';
  box.sites = [{ ...access, key: box.id, addresses: ['192.0.2.7:9443'], grace: true, expires_at: until_ }];
  await open();
  await until(onLan);
  expect(state()?.graceUntil).toBe(Date.parse(until_));
  box.sites = [{ ...access, key: box.id, addresses: ['192.0.2.7:9443'], expires_at: until_, revocations: ['signed'] }];
  box.push({ kind: 'welcome', sites: box.sites, time: '2027-01-15T08:00:00.000Z' });
  await until(() => state()?.graceUntil === null);
  expect((await store.sites())[0]?.boxLists).toEqual(['signed']);
});

test('who is not let in any more is told so, and why', async () => {
  box.refuses = cloud.refuses = 'revoked';
  await open();
  await until(() => state()?.denied);
  expect(state()?.denied?.code).toBe('revoked');
});

test('an impostor at the box’s address gets no grant, and the cloud carries on', async () => {
  const twin = await FakeServer.make('lan');
  twin.certificates = [pin];
  twin.sites = box.sites;
  const real = box;
  box = twin;
  await open();
  await until(() => state()?.path === 'cloud');
  await until(() => state()?.lan.failure);
  expect(state()?.lan.failure?.code).toBe('untrusted_peer');
  expect(twin.heard.every((message: ClientMessage) => message.kind === 'hello')).toBe(true);
  box = real;
});

test('a pin that the cloud has slipped in is found out by the box’s own list', async () => {
  const slipped = await certificate('attacker');
  await open({ proven: [], hinted: [slipped, pin] });
  await until(onLan);
  const kept = (await store.sites())[0];
  expect(kept?.proven).toEqual([pin]);
  expect(kept?.hinted).not.toContain(slipped);
});

test('lists of withdrawn rights are carried from the cloud to the box', async () => {
  box.down = true;
  cloud.sites = [{ ...access, key: box.id, addresses: ['192.0.2.7:9443'], certificates: [pin], revocations: ['signed'] }];
  await open();
  await until(() => state()?.path === 'cloud');
  box.down = false;
  client.retry();
  await until(onLan);
  expect(box.told('auth')[0]?.revocations).toEqual(['signed']);
  // What does not fit into the first frame is left to others.
  client.close();
  box.heard.length = 0;
  await open({ cloudLists: ['x'.repeat(20_000), 'small'] });
  await until(onLan);
  expect(box.told('auth')[0]?.revocations).toEqual(['small']);
});

test('another box is believed on the pinned cloud’s word only', async () => {
  const other = await FakeServer.make('lan');
  cloud.sites = [{ ...access, key: other.id, addresses: ['192.0.2.9:9443'], certificates: [pin] }];
  box.down = true;
  await open();
  await until(() => state()?.path === 'cloud');
  expect((await store.sites())[0]?.box).toBe(box.id);
});

test('a frame that cannot be read ends the link, not the client', async () => {
  await open();
  await until(onLan);
  box.push({ kind: 'snapshot', site: 's' });
  await until(() => box.told('hello').length >= 2);
  await until(onLan);
});

test('an answer in pages, and a refusal that speaks for itself', async () => {
  await open();
  await until(onLan);
  await expect(client.query('nowhere', 'sessions')).rejects.toMatchObject({ code: 'unknown_site' });
  box.down = cloud.down = true;
  box.cut();
  cloud.cut();
  await expect(client.query('s', 'sessions')).rejects.toMatchObject({ branch: 'Unavailable' });
});

function record(kind: string, body: unknown) {
  return { uid: 'u', kind, v: 1, at: '2027-01-15T08:00:01.000Z', clock: 'synced', body };
}
