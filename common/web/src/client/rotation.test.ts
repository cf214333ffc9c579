import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { b64 } from './bytes';
import { Client } from './client';
import type { Dial } from './dialling';
import { certificate, FakeServer, grantOf, NOW_S, PACE } from './fakeserver';
import { lines, sign } from './keys';
import { followed } from './rotation';
import { MemoryStore, type SiteEntry } from './store';

let box: FakeServer;
let cloud: FakeServer;
let store: MemoryStore;
let client: Client;
let entry: SiteEntry;
let pin: string;

const dial: Dial = {
  canPin: () => true,
  box: async (_address, pins) => box.dial(pins, pin),
  socket: async () => cloud.dial(null),
};

beforeEach(async () => {
  [box, cloud, pin] = await Promise.all([FakeServer.make('lan'), FakeServer.make('cloud'), certificate('own')]);
  box.certificates = [pin];
  const at = '2027-01-15T08:00:00.000Z';
  const view = { site: 's', chargers: {} };
  for (const server of [box, cloud]) {
    server.snapshot = () => ({ kind: 'snapshot', site: 's', epoch: '1-a', seq: 5, at, view });
  }
  welcome();
  store = new MemoryStore();
  entry = {
    site: 's',
    name: 'Home',
    grant: grantOf(NOW_S - 60, NOW_S + 7 * 86_400),
    role: 'driver',
    principal: 'me',
    box: box.id,
    addresses: ['192.0.2.7:9443'],
    lastGood: '',
    cloudUrl: '',
    cloudKey: '',
    boxAtMs: 0,
    proven: [pin],
    hinted: [],
  };
});

afterEach(() => client?.close());

/** What box and cloud say of the site; the cloud as it knows the box's key. */
function welcome(known = box.id, more: object = {}): void {
  const access = { site: 's', role: 'driver', principal: 'me', addresses: ['192.0.2.7:9443'] };
  box.sites = [{ ...access, key: box.id }];
  cloud.sites = [{ ...access, key: known, certificates: [pin], online: true, ...more }];
}

async function open(change: Partial<SiteEntry> = {}): Promise<void> {
  await store.putSite({ ...entry, ...change });
  client = await Client.open({ store, pace: PACE, dial, origin: 'https://elsewhere.example' });
}

async function until(holds: () => unknown): Promise<void> {
  for (let tries = 0; tries < 2000; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`in vain: ${holds}`);
}

const state = () => client.site('s').value;
const onLan = () => state()?.path === 'lan' && state()?.shown;
const kept = async () => (await store.sites()).find((one) => one.site === 's')!;
const refused = () => state()?.lan.failure?.code === 'untrusted_peer';

test('every published chain is judged as it says', async () => {
  const file = new URL('../../../../tests/vectors/rotations.json', import.meta.url);
  const { cases } = JSON.parse(readFileSync(file, 'utf8'));
  expect(cases.length).toBeGreaterThan(30);
  for (const { name, pinned, key, site, after, gone, statements, result, ...ends } of cases) {
    const judged = await followed(statements, pinned, key, { site, after, gone }).then(
      (chain) => ({ result: 'ok', number: chain.at(-1)!.number, box: chain.at(-1)!.box }),
      (wrong) => ({ result: wrong.code }),
    );
    expect([name, judged]).toEqual([name, { result, ...ends }]);
  }
});

test('a page that pinned the old key follows the box with no cloud in sight, and remembers', async () => {
  const first = box.id;
  await box.rotate('s');
  await box.rotate('s');
  welcome();
  await open();
  await until(onLan);
  await until(async () => (await kept()).box === box.id);
  const now = await kept();
  expect(now.boxNumber).toBe(2);
  expect(now.former?.[0]).toBe(first);
  expect(now.former).not.toContain(box.id);
});

test('whoever has the old key gets no grant from a page that has moved on', async () => {
  const before = { key: box.key, id: box.id };
  await box.rotate('s');
  const chain = box.rotations;
  welcome();
  await open();
  await until(async () => onLan() && (await kept()).box === box.id);
  const moved = await kept();
  client.close();
  // The thief has the key, and makes a successor of their own; or shows the box's chain and goes on from it.
  const thief = await FakeServer.make('lan');
  const own = { key: thief.key, id: thief.id };
  const signed = async (number: number) => {
    const message = lines('s', before.key.public, own.key.public, String(number), '1800000000');
    const by = await Promise.all([before.key, own.key].map((one) => sign(one, 'plugside-rotation-v1', message)));
    const told = JSON.stringify(['s', before.key.public, own.key.public, number, 1800000000, ...by]);
    return b64(new TextEncoder().encode(told));
  };
  for (const [has, told] of [
    [before, []],
    [own, [await signed(1)]],
    [own, [await signed(2)]],
    [own, [...chain, await signed(2)]],
  ] as const) {
    box.heard.length = 0;
    Object.assign(box, has, { rotations: told });
    await store.putSite(moved);
    client = await Client.open({ store, pace: PACE, dial, origin: 'https://elsewhere.example' });
    await until(refused);
    expect(new Set(box.heard.map((one) => one.kind))).toEqual(new Set(['hello']));
    client.close();
  }
  expect(await kept()).toEqual(moved);
});

test('a chain of another site or of nobody who was pinned says nothing', async () => {
  const box0 = { key: box.key, id: box.id };
  await box.rotate('elsewhere');
  await open();
  await until(refused);
  client.close();
  const stranger = await FakeServer.make('lan');
  await stranger.rotate('s');
  Object.assign(box, { key: stranger.key, id: stranger.id, rotations: stranger.rotations });
  box.heard.length = 0;
  client = await Client.open({ store, pace: PACE, dial, origin: 'https://elsewhere.example' });
  await until(refused);
  expect(box.told('auth')).toEqual([]);
  expect((await kept()).box).toBe(box0.id);
});

test('a cloud that has not heard of it takes nothing back', async () => {
  const before = box.id;
  await box.rotate('s');
  welcome(before, { name: 'Renamed' });
  await open({ cloudUrl: 'https://cloud.example', cloudKey: cloud.id });
  await until(async () => onLan() && (await kept()).box === box.id);
  box.down = true;
  box.cut();
  await until(() => state()?.path === 'cloud');
  await until(async () => (await kept()).name === 'Renamed');
  expect((await kept()).box).toBe(box.id);
});

test('the cloud that was pinned outranks what a box says of itself', async () => {
  await box.rotate('s');
  welcome();
  await open({ cloudUrl: 'https://cloud.example', cloudKey: cloud.id });
  await until(async () => onLan() && (await kept()).box === box.id);
  const gone = box.id;
  const other = await FakeServer.make('lan');
  const by = await sign(cloud.key, 'plugside-succession-v1', lines('s', other.id, '5'));
  const told = JSON.stringify(['s', other.id, 5, cloud.key.public, by]);
  welcome(other.id, { succession: b64(new TextEncoder().encode(told)) });
  box.down = true;
  box.cut();
  cloud.cut(); // a link that was open before has heard the welcome of then
  await until(async () => (await kept()).box === other.id);
  expect(await kept()).toMatchObject({ boxAtMs: 5, boxNumber: 0 });
  expect((await kept()).former).toContain(gone);
});

test('an invite of before brings a device in afterwards', async () => {
  const server = box.id;
  await box.rotate('s');
  welcome();
  box.grants = () => ({ grant: entry.grant, site: { site: 's', role: 'driver', principal: 'me', key: box.id } });
  client = await Client.open({ store, pace: PACE, dial, origin: 'https://elsewhere.example' });
  const secret = b64(new Uint8Array(16));
  const ticket = JSON.stringify([secret, server, NOW_S * 10, [], ['192.0.2.7:9443'], [pin]]);
  await client.join(`plugside1_${b64(new TextEncoder().encode(ticket))}`, 'phone');
  expect(await kept()).toMatchObject({ box: box.id, boxNumber: 1, former: [server] });
});
