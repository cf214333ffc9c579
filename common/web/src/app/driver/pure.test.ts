/** Tickets, series, rows, links to chargers: the driver's smaller pure parts. */
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { viewOf } from '../../client/fold';
import type { SessionView, SiteState } from '../../client';
import { allowanceSaid } from './allowance';
import { linked } from './found';
import { en } from './words.en';
import { beganMs, endedMs, isBehind, receiptText, tookMs } from './rows';
import { NO_SERIES, POINTS_MAX, carriedOn, once, seriesOf } from './series';
import { read } from './ticket';

beforeAll(() => void vi.stubGlobal('navigator', { languages: ['en-GB'] }));

describe('a QR, a link or a pasted text', () => {
  const origin = 'https://cloud.example';

  it('is an invite in whatever it is wrapped', () => {
    for (const text of ['plugside1_abc-D', ' plugside1_abc-D\n', 'https://x.example/#plugside1_abc-D', 'https://x/#join=plugside1_abc-D']) {
      expect(read(text, origin)).toEqual({ is: 'invite', text: 'plugside1_abc-D' });
    }
  });

  it("is a wall sticker of this app's own, and not of another", () => {
    expect(read('https://cloud.example/#/at/CP1', origin)).toEqual({ is: 'place', segments: ['at', 'CP1'] });
    expect(read('https://evil.example/#/at/CP1', origin).is).toBe('other');
    expect(read('https://cloud.example/#/settings', origin).is).toBe('other');
  });

  it('is something else, of which little is shown', () => {
    expect(read('WIFI:S:guest;P:secret;;', origin)).toEqual({ is: 'other', text: 'WIFI:S:guest;P:secret;;' });
    expect(read('x'.repeat(5000), origin)).toEqual({ is: 'other', text: `${'x'.repeat(60)} …` });
    expect(read('', origin).is).toBe('other');
  });
});

describe('times below a curve', () => {
  it('are each written once, at the first place', () => {
    expect(once(['15:31', '15:31', '15:31', '15:32'])).toEqual(['15:31', '', '', '15:32']);
    expect(once([])).toEqual([]);
  });
});

describe('a series', () => {
  const row = (at: string, power_w: number, more: object = {}) => ({ sample: { at, power_w, ...more } });

  it('is in order, once a time, of what flows to the car', () => {
    const told = seriesOf([
      row('2027-01-15T18:01:00Z', 2),
      row('2027-01-15T18:00:00Z', 1),
      row('2027-01-15T18:01:00Z', 3),
      row('2027-01-15T18:02:00Z', 9, { location: 'inlet' }),
      { sample: { at: '2027-01-15T18:03:00Z', energy_wh: 5 } },
      row('18:04', 4),
      { received_at: '2027-01-15T18:05:00Z', sample: { at: '18:05', power_w: 5 } },
    ]);
    const t = Date.parse('2027-01-15T18:00:00Z') / 1000;
    expect(told).toEqual({ times: [t, t + 60, t + 300], power_w: [1, 3, 5] });
  });

  it('goes on by what is pushed, and never back', () => {
    const at = (sampled_at: string, power_w: number | null) => ({ sampled_at, power_w }) as SessionView;
    const one = carriedOn(NO_SERIES, at('2027-01-15T18:00:00Z', 7));
    expect(one.power_w).toEqual([7]);
    expect(carriedOn(one, at('2027-01-15T17:00:00Z', 8))).toBe(one);
    expect(carriedOn(one, at('2027-01-15T18:01:00Z', null))).toBe(one);
    expect(carriedOn(one, at('2027-01-15T18:01:00Z', 0)).power_w).toEqual([7, 0]);
  });

  it('stays bounded', () => {
    const start = Date.parse('2027-01-15T00:00:00Z');
    const rows = Array.from({ length: POINTS_MAX + 100 }, (_, i) => row(new Date(start + i * 1000).toISOString(), i));
    const told = seriesOf(rows);
    expect(told.times.length).toBeLessThanOrEqual(POINTS_MAX);
    expect(told.power_w.at(-1)).toBe(POINTS_MAX + 99);
  });
});

describe('a row of the history', () => {
  const base = { session: 's', charger: 'CP1' };

  it('prefers times that were corrected, and knows what is no time', () => {
    const row = { ...base, started_at: '2020-01-01T00:00:00Z', corrected_started_at: '2027-01-15T18:00:00Z' };
    expect(beganMs(row)).toBe(Date.parse('2027-01-15T18:00:00Z'));
    expect(beganMs({ ...base, started_at: '18:00', received_at: '2027-01-15T18:00:01Z' })).toBe(
      Date.parse('2027-01-15T18:00:01Z'),
    );
    expect(endedMs({ ...base, ended_at: 'yesterday' })).toBeUndefined();
    expect(tookMs({ ...base, started_at: '2027-01-15T18:00:00Z', ended_at: '2027-01-15T17:00:00Z' })).toBeUndefined();
  });

  it('is behind where a charge of this person ended that stands open, or is not there yet', () => {
    const row = { ...base, state: 'open', started_at: '2027-01-15T18:00:00Z' };
    const live = (more: object): SessionView =>
      ({ session: 's', principal: 'me', started_at: '2027-01-15T18:00:00Z', ended_at: '2027-01-15T19:00:00Z', ...more }) as SessionView;
    expect(isBehind([row], [live({})], 'me')).toBe(true);
    expect(isBehind([{ ...row, state: 'ended' }], [live({})], 'me')).toBe(false);
    expect(isBehind([row], [live({ ended_at: '' })], 'me')).toBe(false);
    expect(isBehind([row], [live({ principal: 'other' })], 'me')).toBe(false);
    const next = live({ session: 't', started_at: '2027-01-15T20:00:00Z' });
    expect(isBehind([{ ...row, state: 'ended' }], [next], 'me')).toBe(true);
    expect(isBehind([], [next], 'me')).toBe(true);
    // An older one stands on a later page.
    expect(isBehind([{ ...row, state: 'ended' }], [live({ session: 'r', started_at: '2027-01-14T20:00:00Z' })], 'me')).toBe(false);
  });

  it('its receipt is written as the box has signed it: sorted, no blanks', () => {
    expect(receiptText({ b: [{ z: 1, a: 'ä' }], a: '"' })).toBe('{"a":"\\"","b":[{"a":"ä","z":1}]}');
  });
});

describe('what was agreed', () => {
  it('is said with what was had of it, and not at all where there is no cap', () => {
    const caps = { energy_wh: 100_000, sessions: 20, period: 'week', hours: ['22:00-06:00'], connectors: ['CP1/1'] };
    expect(allowanceSaid({ energy_wh: 62_400, sessions: 9, caps }, en)).toEqual([
      '62.4 kWh of 100.0 kWh this week',
      '9 of 20 charges this week',
      'A charge may begin at 22:00-06:00',
      'At CP1/1',
    ]);
    expect(allowanceSaid({ caps: null }, en)).toEqual([]);
    expect(allowanceSaid({}, en)).toEqual([]);
  });
});

describe('a link to a charger', () => {
  const site = (id: string, name: string, ...chargers: string[]): SiteState =>
    ({
      id,
      name,
      view: viewOf({
        view: { site: id, chargers: Object.fromEntries(chargers.map((one) => [one, { id: one, adopted: true }])) } as never,
        epoch: '',
        seq: 0,
      }),
    }) as SiteState;
  const sites = [site('s1', 'Home', 'CP1', 'CP2'), site('s2', 'Work', 'CP1')];
  const ids = (...segments: string[]) => linked(sites, segments).map((found) => `${found.site.id}/${found.charger.id}`);

  it('names site and charger, in any case, or the charger alone', () => {
    expect(ids('s1', 'cp1')).toEqual(['s1/CP1']);
    expect(ids('work', 'CP1')).toEqual(['s2/CP1']);
    expect(ids('CP2')).toEqual(['s1/CP2']);
    expect(ids('CP1')).toEqual(['s1/CP1', 's2/CP1']);
    expect(ids('s2', 'CP2')).toEqual([]);
    expect(ids('CP9')).toEqual([]);
  });
});
