import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';
import { expect, test } from 'vitest';
import { b64, base32, unb64, uuid7 } from './bytes';
import { PlugsideError, fromWire, telling } from './errors';
import { linkUrl } from './link';
import { readInvite } from './invite';
import { decode } from './messages';
import { isLocalPage } from './permission';
import { Positions } from './positions';
import { live } from './shown';
import { DEFAULTS } from './generated';
import { MemoryStore, openStore, type SiteEntry } from './store';

const SERVER = 'urx5hnzwgku6nuvno4tjd3hlns3ocev3';

function invite(fields: readonly unknown[]): string {
  return `plugside1_${b64(new TextEncoder().encode(JSON.stringify(fields)))}`;
}

const SECRET = b64(new Uint8Array(16));
const GOOD = invite([SECRET, SERVER, 1_800_000_000, ['https://cloud.example/v1/link'], [], []]);

test('an invite is read from its text, from a link, and from a code with blanks around it', () => {
  for (const text of [GOOD, `  ${GOOD}\n`, `https://app.example/#join=${GOOD}`, `#join=${GOOD}`, `#x=1&join=${GOOD}`]) {
    expect(readInvite(text)).toMatchObject({ secret: SECRET, server: SERVER, expiresMs: 1_800_000_000_000 });
  }
});

test('what is no invite is refused with a sentence, whatever it is', () => {
  const hostile = [
    '',
    'https://evil.example/',
    'WIFI:S:guest;T:WPA;P:secret;;',
    GOOD.slice(0, -3),
    invite(['short', SERVER, 1]),
    invite([SECRET, 7, 1]),
    invite([SECRET, SERVER, 'soon']),
    invite([SECRET, SERVER, 1, 'no list']),
    invite([SECRET, SERVER, 1, [7]]),
    `plugside1_${'A'.repeat(4000)}`,
    'plugside1_%%%',
  ];
  for (const text of hostile) expect(() => readInvite(text), text).toThrow(PlugsideError);
});

test('base64url has one spelling', () => {
  expect(unb64(b64(Uint8Array.of(0, 255, 62)))).toEqual(Uint8Array.of(0, 255, 62));
  for (const wrong of ['AB', 'A', 'A=', 'A+', 'Ä']) expect(() => unb64(wrong), wrong).toThrow(RangeError);
});

test('base32 is that of RFC 4648', () => {
  const of = (text: string) => base32(new TextEncoder().encode(text));
  expect([of(''), of('f'), of('fo'), of('foo'), of('foob'), of('fooba'), of('foobar')]).toEqual([
    '', 'my', 'mzxq', 'mzxw6', 'mzxw6yq', 'mzxw6ytb', 'mzxw6ytboi',
  ]);
});

test('ids are UUIDv7, in order of time', () => {
  const first = uuid7(1_800_000_000_000);
  expect(first).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(Number.parseInt(first.replaceAll('-', '').slice(0, 12), 16)).toBe(1_800_000_000_000);
  expect(uuid7(1_800_000_000_001) > first).toBe(true);
});

test('a cloud is spoken to encrypted, but on this machine', () => {
  expect(linkUrl('https://cloud.example')).toBe('wss://cloud.example/v1/link');
  expect(linkUrl('https://cloud.example/base/v1/link')).toBe('wss://cloud.example/base/v1/link');
  expect(linkUrl('http://127.0.0.1:8080')).toBe('ws://127.0.0.1:8080/v1/link');
  for (const wrong of ['http://cloud.example', 'javascript:alert(1)', 'nonsense', 'file:///etc/passwd']) {
    expect(() => linkUrl(wrong), wrong).toThrow(PlugsideError);
  }
});

test('a page of this machine or this network needs no permission to speak there', () => {
  for (const host of ['localhost', '127.0.0.1', '[::1]', '192.168.1.9', '10.0.0.1', '172.16.0.1', '[fe80::1]', '[fd00:1::2]', 'plugside-ab.local']) {
    expect(isLocalPage(host), host).toBe(true);
  }
  for (const host of ['cloud.example', '8.8.8.8', '172.32.0.1', '127.evil.example', 'fd.example', '10.0.0.1.evil.example']) {
    expect(isLocalPage(host), host).toBe(false);
  }
});

test('a message that is not one is a protocol error and nothing else', () => {
  const wrong = [
    'nonsense', '7', 'null', '[]', '{}', '{"kind":"constructor"}', '{"kind":"welcome","sites":7,"time":""}',
    '{"kind":"fact","site":"s","epoch":"1","seq":"2","record":{}}', '{"kind":"snapshot"}',
    '{"kind":"granted","grant":"g","site":{}}', '{"kind":"proof","version":1}',
    '{"kind":"settled","id":"a","outcome":"failed","result":null}',
    '{"kind":"welcome","time":"","sites":[{"site":"s","role":"driver","principal":"p","addresses":"x"}]}',
  ];
  for (const text of wrong) {
    expect(() => decode(text), text).toThrowError(expect.objectContaining({ code: 'protocol' }));
  }
});

test('what is left out on the wire is filled in', () => {
  expect(decode('{"kind":"settled","id":"a","outcome":"succeeded"}')).toEqual({
    kind: 'settled', id: 'a', outcome: 'succeeded', code: '', message: '', hint: '', session: '', result: {},
  });
});

// --- what is shown never goes back ------------------------------------------------------------------------

test('facts go on from their snapshot, in order, once', () => {
  const at = new Positions();
  expect(at.admitsFact('s', { epoch: '1-a', seq: 1 })).toBe(false);
  expect(at.admitsSnapshot('s', { epoch: '1-a', seq: 5 }, true)).toBe(true);
  expect(at.admitsFact('s', { epoch: '1-a', seq: 5 })).toBe(false);
  expect(at.admitsFact('s', { epoch: '1-a', seq: 7 })).toBe(true);
  expect(at.admitsFact('s', { epoch: '2-b', seq: 8 })).toBe(false);
  expect(at.since('s')).toEqual({ epoch: '1-a', seq: 7 });
});

test('an older snapshot is dropped, by number, by epoch, and by who says it', () => {
  const at = new Positions();
  at.admitsSnapshot('s', { epoch: '2-a', seq: 5 }, true);
  expect(at.admitsSnapshot('s', { epoch: '2-a', seq: 4 }, false)).toBe(false);
  expect(at.admitsSnapshot('s', { epoch: '1-z', seq: 900 }, false)).toBe(false);
  expect(at.admitsSnapshot('s', { epoch: 'odd', seq: 900 }, false)).toBe(false);
  expect(at.admitsSnapshot('s', { epoch: 'odd', seq: 1 }, true)).toBe(true);
  expect(at.admitsSnapshot('s', { epoch: '3-b', seq: 1 }, false)).toBe(false);
  expect(at.admitsSnapshot('s', { epoch: '3-b', seq: 1 }, true)).toBe(true);
  expect(at.admitsSnapshot('s', { epoch: '4-c', seq: 1 }, false)).toBe(true);
});

test('a box that is back before what was shown, in its epoch or an earlier one, has lost it', () => {
  const at = new Positions();
  expect(at.hasLost('s', { epoch: '1-a', seq: 1 })).toBe(false);
  at.admitsSnapshot('s', { epoch: '2-b', seq: 5 }, true);
  expect(at.hasLost('s', { epoch: '2-b', seq: 5 })).toBe(false);
  expect(at.hasLost('s', { epoch: '2-b', seq: 4 })).toBe(true);
  expect(at.hasLost('s', { epoch: '1-a', seq: 900 })).toBe(true);
  expect(at.hasLost('s', { epoch: '3-c', seq: 1 })).toBe(false);
  expect(at.hasLost('s', { epoch: 'odd', seq: 1 })).toBe(false);
});

test('what was shown before this page is a floor, and not where it follows from', () => {
  const at = new Positions();
  at.seed('s', { epoch: '1-a', seq: 9 }, true);
  expect(at.since('s')).toBeUndefined();
  expect(at.admitsSnapshot('s', { epoch: '1-a', seq: 8 }, false)).toBe(false);
  expect(at.admitsSnapshot('s', { epoch: '1-a', seq: 9 }, false)).toBe(true);
  expect(at.since('s')).toEqual({ epoch: '1-a', seq: 9 });
  at.whole('s');
  expect(at.since('s')).toBeUndefined();
});

test('figures that nobody has heard for minutes are not those of now (quirk 76)', () => {
  const session = { ...DEFAULTS.SessionView, session: 's', charger: 'c', evse: 1, power_w: 7200, heard_at: '2027-01-15T08:00:00.000Z' };
  const heard = Date.parse(session.heard_at);
  expect(live(session, heard + 180_000).power_w).toBe(7200);
  expect(live(session, heard + 180_001).power_w).toBeNull();
  expect(live({ ...session, ended_at: '2027-01-15T08:01:00.000Z' }, heard).power_w).toBeNull();
});

test('of several failures the one that tells most is told', () => {
  const silence = new PlugsideError('no_path');
  const impostor = new PlugsideError('untrusted_peer');
  const refusal = new PlugsideError('revoked');
  expect(telling([silence, impostor, refusal])).toBe(refusal);
  expect(telling([silence, impostor])).toBe(impostor);
  expect(fromWire('from_tomorrow', 'x', 'y').code).toBe('protocol');
});

// --- what is kept ------------------------------------------------------------------------------------------

const ENTRY: SiteEntry = {
  site: 's1', name: 'Home', grant: 'g', role: 'driver', principal: 'p', box: 'b', addresses: [], lastGood: '',
  cloudUrl: '', cloudKey: '', boxAtMs: 0, proven: [], hinted: [],
};

test('a key is made once, also for two pages at once, and cannot be taken out', async () => {
  const factory = new IDBFactory();
  const [one, other] = await Promise.all([openStore(factory), openStore(factory)]);
  const [first, second] = await Promise.all([one.key(), other.key()]);
  expect(second.public).toBe(first.public);
  expect(first.private.extractable).toBe(false);
  one.close();
  const again = await openStore(factory);
  expect((await again.key()).thumbprint).toBe(first.thumbprint);
});

test('sites and commands outlive the page, and a site goes with all that was kept of it', async () => {
  const factory = new IDBFactory();
  const store = await openStore(factory);
  await store.putSite(ENTRY);
  await store.putSite({ ...ENTRY, name: 'Work' });
  await store.keep({ site: 's1', shape: 1, view: {} as never, asOf: 1, fromBox: true });
  const command = { id: 'c', site: 's1', name: 'start' as const, target: { charger: 'CP1' }, envelope: 'e', expiresMs: 1, askedMs: 1, tab: 't' };
  await store.putPending(command);
  store.close();
  const again = await openStore(factory);
  expect(await again.sites()).toEqual([{ ...ENTRY, name: 'Work' }]);
  expect(await again.pending()).toEqual([command]);
  await again.removePending('c');
  await again.removeSite('s1');
  expect([await again.sites(), await again.pending(), await again.kept()]).toEqual([[], [], []]);
});

test('a site that was removed does not come back by what another page learns of it or shows', async () => {
  for (const store of [await openStore(new IDBFactory()), new MemoryStore()]) {
    const shown = { site: 's1', shape: 1, view: {} as never, asOf: 1, fromBox: true };
    await store.putSite(ENTRY);
    await store.learnSite({ ...ENTRY, name: 'Work' });
    await store.keep(shown);
    expect([await store.sites(), await store.kept()]).toEqual([[{ ...ENTRY, name: 'Work' }], [shown]]);
    await store.removeSite('s1');
    await store.learnSite(ENTRY);
    await store.keep(shown);
    expect([await store.sites(), await store.kept()]).toEqual([[], []]);
  }
});

test('storage that is denied is said in words', async () => {
  const denied = { open: () => { throw new DOMException('denied', 'SecurityError'); } } as unknown as IDBFactory;
  await expect(openStore(denied)).rejects.toMatchObject({ code: 'folder_unusable' });
});
