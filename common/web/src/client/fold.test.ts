import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { apply, emptyView, viewOf } from './fold';
import type { RawRecord, View } from './generated';

interface Vectors {
  epoch: string;
  site: string;
  records: RawRecord[];
  views: { seq: number; view: View }[];
}

const vectors = JSON.parse(
  readFileSync(new URL('../../../../tests/vectors/view.json', import.meta.url), 'utf8'),
) as Vectors;

function plain(view: View): unknown {
  return JSON.parse(JSON.stringify(view));
}

test('the same facts come to the same view as in Python, whole', () => {
  const expected = new Map(vectors.views.map(({ seq, view }) => [seq, view]));
  let view = emptyView(vectors.site);
  let compared = 0;
  vectors.records.forEach((record, at) => {
    view = apply(view, vectors.epoch, at + 1, record);
    const whole = expected.get(at + 1);
    if (!whole) return;
    expect(plain(view)).toEqual(plain(viewOf({ view: whole, epoch: whole.epoch, seq: whole.seq })));
    compared += 1;
  });
  expect(compared).toBe(vectors.views.length);
});

test('a fold changes no view that was there before', () => {
  let view = emptyView(vectors.site);
  vectors.records.forEach((record, at) => {
    const before = JSON.stringify(view);
    const after = apply(view, vectors.epoch, at + 1, record);
    expect(JSON.stringify(view)).toBe(before);
    view = after;
  });
});

test('what a fact does not touch is shared with the view before', () => {
  const first = apply(emptyView('s'), '1-a', 1, fact('charger_adopted', { charger: 'CP1' }));
  const second = apply(first, '1-a', 2, fact('charger_adopted', { charger: 'CP2' }));
  expect(second.chargers['CP1']).toBe(first.chargers['CP1']);
  expect(second.sessions).toBe(first.sessions);
});

test('a charger may call itself what it likes', () => {
  for (const charger of ['__proto__', 'constructor', 'toString']) {
    const view = apply(emptyView('s'), '1-a', 1, fact('charger_seen', { charger, adopted: false }));
    expect(Object.keys(view.chargers)).toEqual([charger]);
    expect(view.chargers[charger]?.connectors).toEqual({});
  }
  expect(({} as Record<string, unknown>)['adopted']).toBeUndefined();
});

test('a kind or a version of tomorrow only moves the position', () => {
  for (const record of [fact('charger_dreamt', { charger: 'CP1' }), fact('constructor', {}), { ...fact('charger_adopted', { charger: 'CP1' }), v: 99 }]) {
    const view = apply(emptyView('s'), '1-a', 7, record);
    expect(view.seq).toBe(7);
    expect(view.chargers).toEqual({});
  }
});

function fact(kind: string, body: unknown): RawRecord {
  return { uid: 'u', kind, v: 1, at: '2027-01-15T08:00:00.000Z', clock: 'synced', body };
}
