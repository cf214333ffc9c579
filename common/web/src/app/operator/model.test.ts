import { describe, expect, it } from 'vitest';
import { viewOf } from '../../client/draft';
import { cell, csv, fileName } from './csv';
import { type Draft, type Flagged, choices, readKwh, resolveArgs, wrongIn } from './decide';
import { NO_FILTERS, argsOf, dayStart, setOf } from './filters';
import { type SiteRow, itemsOf, kindsOf, nameOf, ranked, worstFirst } from './needs';
import { linesOf } from './story';

function site(name: string, needs: SiteRow['needs']): SiteRow {
  return { site: name, name, online: true, seen_at: '', software: '', zone: '', clock: '', skew_ms: 0, backlog: 0, addresses: [], needs };
}

function view(given: object) {
  return viewOf({ view: given as never, epoch: '1-a', seq: 1 });
}

describe('worst first', () => {
  it('ranks as the server does: the gravest kind, then more of it, then the name', () => {
    const rows = [
      site('b', {}),
      site('A', {}),
      site('c', { taps: 1 }),
      site('d', { faulted: 1, taps: 9 }),
      site('e', { faulted: 2 }),
      site('f', { offline: 1 }),
    ];
    expect(worstFirst(rows).map((row) => row.name).join('')).toBe('fedcAb');
    expect(kindsOf({ taps: 2, faulted: 1, lost: 0 })).toEqual(['faulted', 'taps']);
  });

  it('finds in a view what needs somebody', () => {
    const found = itemsOf(
      view({
        chargers: {
          A: { id: 'A', adopted: true, online: true, connectors: { 1: { evse: 1, state: 'charging', unattributed: true } } },
          B: { id: 'B', adopted: true, online: false, connectors: { 1: { evse: 1, state: 'faulted' } } },
          C: { id: 'C', adopted: true, online: true, connectors: { 1: { evse: 1, state: 'faulted' }, 2: { evse: 2, state: 'available' } } },
          N: { id: 'N' },
        },
        taps: { ref: { charger: 'A', at: '2027-01-15T18:00:00Z' } },
      }),
    );
    expect(found.map((item) => [item.kind, item.charger?.id])).toEqual([
      ['faulted', 'C'],
      ['lost', 'B'],
      ['unattributed', 'A'],
      ['waiting', 'N'],
      ['taps', 'A'],
    ]);
  });

  it('puts chargers with trouble before those in use, and those by name', () => {
    const { chargers } = view({
      chargers: {
        A: { id: 'A', adopted: true, online: true, name: 'Zoe' },
        B: { id: 'B', adopted: true, online: true, name: 'Bay' },
        C: { id: 'C', adopted: true, online: true, connectors: { 1: { evse: 1, state: 'charging' } } },
        D: { id: 'D', adopted: true, online: false },
        E: { id: 'E', adopted: true, online: true, connectors: { 1: { evse: 1, state: 'faulted' } } },
      },
    });
    expect(ranked(Object.values(chargers)).map(nameOf)).toEqual(['E', 'D', 'C', 'Bay', 'Zoe']);
  });
});

describe('csv', () => {
  it('makes text of whatever a spreadsheet would calculate', () => {
    for (const evil of ['=1+1', '+1+1', '-1+1', '@SUM(A1)', ' =1', '\t=1', '＝1', '=cmd|" /C calc"!A0']) {
      expect(cell(evil).replace(/^"/, '').startsWith("'")).toBe(true);
    }
    expect(cell('-')).toBe("'-");
  });

  it('leaves numbers numbers, quotes what has to be, and says nothing for nothing', () => {
    expect([cell(-1.5), cell('12'), cell(null), cell(undefined), cell(false)]).toEqual(['-1.5', '12', '', '', 'false']);
    expect([cell('a,b'), cell('a"b'), cell('a\nb'), cell(' a')]).toEqual(['"a,b"', '"a""b"', '"a\nb"', '" a"']);
    expect(csv(['a', 'b'], [['x', 1]])).toBe('\uFEFFa,b\r\nx,1\r\n');
  });

  it('names files so that every system takes them', () => {
    expect(fileName('Home / "Garage"', '2026-11')).toBe('Home-Garage_2026-11.csv');
    expect(fileName('../..')).toBe('plugside.csv');
  });
});

describe('filters', () => {
  it('asks for days of the site, the last one included', () => {
    expect(argsOf({ ...NO_FILTERS, from: '2026-11-30', to: '2026-11-30' }, 'Europe/Berlin')).toEqual({
      since: '2026-11-29T23:00:00.000Z',
      until: '2026-11-30T23:00:00.000Z',
    });
    expect(argsOf({ ...NO_FILTERS, from: 'x', to: '2026-99-99', charger: 'CP1', flagged: true }, undefined)).toEqual({
      charger: 'CP1',
      flagged: true,
    });
    expect(setOf({ ...NO_FILTERS, charger: 'A', flagged: true })).toBe(2);
  });

  it('knows the days on which clocks change', () => {
    // 29 March 2026, Berlin: the day begins in winter time and has 23 hours.
    expect(dayStart('2026-03-29', 'Europe/Berlin')).toBe('2026-03-28T23:00:00.000Z');
    expect(dayStart('2026-03-30', 'Europe/Berlin')).toBe('2026-03-29T22:00:00.000Z');
    expect(dayStart('2026-06-01', 'Pacific/Auckland')).toBe('2026-05-31T12:00:00.000Z');
  });
});

describe('story', () => {
  it('tells each fact once, with what is asked for first and how it was obtained', () => {
    const ended = {
      seq: 9,
      kind: 'session_ended',
      at: '2026-11-30T10:00:00Z',
      clock: 'floor',
      body: { energy_wh: 4000, method: 'register', obtained: 'measured', reason: '', flags: ['offline'] },
    };
    const [line, ...others] = linesOf([ended, ended]);
    expect(others).toEqual([]);
    expect(line?.values).toEqual([
      ['energy_wh', 4000],
      ['method', 'register'],
    ]);
    expect([line?.obtained, line?.unsure, line?.flags]).toEqual(['measured', true, ['offline']]);
  });

  it('shows a kind that this build does not know as it is', () => {
    expect(linesOf([{ seq: 1, kind: 'new_kind', at: '', body: { x: 1 } }])[0]?.values).toEqual([]);
  });
});

describe('decisions', () => {
  const session: Flagged = { session: 's', orphan: '', revision: 2, principal: null, energy_wh: 900 };
  const orphan: Flagged = { session: '', orphan: 'o', revision: 0, principal: null, energy_wh: null };
  const draft: Draft = { decision: 'accept', reason: ' seen ', kwh: '', principal: '', session: '' };

  it('offers what the box would take', () => {
    expect(choices(session)).toEqual(['accept', 'set', 'attach', 'dismiss']);
    expect(choices({ ...session, principal: 'ann' })).toEqual(['accept', 'set', 'dismiss']);
    expect(choices({ ...session, energy_wh: null })).toEqual(['set', 'dismiss']);
    expect(choices(orphan)).toEqual(['attach', 'accept', 'dismiss']);
  });

  it('names the field that is wrong', () => {
    expect(wrongIn(session, { ...draft, reason: ' ' })).toBe('reason');
    expect(wrongIn(session, { ...draft, reason: 'a\u0007' })).toBe('reason');
    expect(wrongIn(session, { ...draft, decision: 'set', kwh: '-1' })).toBe('energy');
    expect(wrongIn(session, { ...draft, decision: 'attach' })).toBe('principal');
    expect(wrongIn(orphan, { ...draft, decision: 'attach' })).toBe('session');
    expect(wrongIn(session, draft)).toBeNull();
  });

  it('reads kilowatt hours as they are written', () => {
    expect([readKwh('3,5'), readKwh('3.512'), readKwh('0'), readKwh('1e3'), readKwh('9999'), readKwh('')]).toEqual([
      3500,
      3512,
      0,
      null,
      null,
      null,
    ]);
  });

  it('says it in the command’s own words', () => {
    expect(resolveArgs(session, { ...draft, decision: 'set', kwh: '3,5' })).toEqual({
      decision: 'set',
      reason: 'seen',
      session: 's',
      revision: 2,
      energy_wh: 3500,
    });
    expect(resolveArgs(orphan, { ...draft, decision: 'attach', session: 'x' }, 4)).toEqual({
      decision: 'attach',
      reason: 'seen',
      session: 'x',
      revision: 4,
      orphan: 'o',
    });
    expect(resolveArgs(orphan, { ...draft, decision: 'dismiss' })).toEqual({ decision: 'dismiss', reason: 'seen', orphan: 'o' });
    expect(resolveArgs(session, { ...draft, decision: 'attach', principal: 'ann' })).toMatchObject({ principal: 'ann', revision: 2 });
  });
});
