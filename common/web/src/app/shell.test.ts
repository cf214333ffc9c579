/** Words for every error, languages that fit, places in the fragment, numbers and times. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { PlugsideError } from '../client/errors';
import { said } from './errors';
import { errorsDe } from './errors.de';
import { errorsEn } from './errors.en';
import * as format from './format';
import { fitting, plural, speak } from './i18n';
import { href, parse } from './router';

beforeAll(() => void vi.stubGlobal('navigator', { languages: ['en-GB', 'de-DE'] }));
afterEach(() => speak('en'));

describe('errors', () => {
  const tree = readFileSync(new URL('../../../errors.py', import.meta.url), 'utf8');
  const codes = [...tree.matchAll(/^ {4}[A-Z_]+ = "([a-z_]+)"$/gm)].map((found) => found[1] ?? '');

  it('each code of the tree has a sentence and a next step, in both languages', () => {
    expect(codes.length).toBeGreaterThan(50);
    for (const words of [errorsEn, errorsDe]) {
      expect(Object.keys(words).sort()).toEqual([...codes].sort());
      for (const [what, next] of Object.values(words)) {
        expect(what).toMatch(/[.!?]$/);
        expect(next).toMatch(/[.!?]$/);
      }
    }
  });

  it('no driver is told to type a command', () => {
    for (const words of [errorsEn, errorsDe]) {
      for (const text of Object.values(words).flat()) expect(text).not.toMatch(/plugside[ -]|`/);
    }
  });

  it('a code of a newer peer is told in its own words', () => {
    expect(said({ code: 'from_the_future', message: 'New.', hint: 'Wait.' })).toEqual({ what: 'New.', next: 'Wait.' });
    speak('de');
    expect(said(new PlugsideError('busy')).what).toBe('Gerade ist zu viel los.');
  });
});

describe('languages', () => {
  it('the first that is spoken here, else English', () => {
    expect(fitting(['fr', 'de-AT', 'en'])).toBe('de');
    expect(fitting(['pt-BR'])).toBe('en');
    expect(fitting([])).toBe('en');
  });

  it('plurals by Intl', () => {
    expect(plural('en', 1, { one: 'one', other: 'many' })).toBe('one');
    expect(plural('de', 0, { one: 'eins', other: 'viele' })).toBe('viele');
  });
});

describe('places', () => {
  it('keep whatever is in a name', () => {
    const name = 'Bay 1/2 #3 %ä';
    expect(parse(href('at', name)).segments).toEqual(['at', name]);
  });

  it('an invite is taken out, however the link is written', () => {
    for (const text of ['#plugside1_abc', '#/join/plugside1_abc', '#join=plugside1_abc']) {
      expect(parse(text)).toEqual({ segments: ['join'], invite: 'plugside1_abc' });
    }
  });

  it('a broken escape is a place that is not there, not a crash', () => {
    expect(parse('#/%E0%A4%A').segments).toEqual(['%E0%A4%A']);
    expect(parse('').segments).toEqual([]);
  });
});

describe('numbers and times', () => {
  it('in the units that people say', () => {
    expect([format.power(7200), format.power(40), format.power(0)]).toEqual(['7.2 kW', '40 W', '0.0 kW']);
    expect([format.energy(3400), format.energy(3421, true)]).toEqual(['3.4 kWh', '3.421 kWh']);
    speak('de');
    expect(format.power(7200)).toBe('7,2 kW');
  });

  it("in the site's zone, with the day when it is another one", () => {
    const at = Date.parse('2027-01-15T23:30:00Z');
    expect(format.clock(at, at, 'UTC')).toBe('23:30');
    expect(format.clock(at, at + 86_400_000, 'UTC')).toContain('15');
    expect(format.sameDay(at, at + 3_600_000, 'UTC')).toBe(false);
    expect(format.sameDay(at, at + 3_600_000, 'America/New_York')).toBe(true);
    expect(format.clock(at, at, 'Not/AZone')).not.toBe('');
  });

  it('a text without a zone names no instant', () => {
    expect(format.instant('2027-01-15T18:00:00')).toBeUndefined();
    expect(format.instant('soon Z')).toBeUndefined();
    expect(format.instant('2027-01-15T18:00:00+02:00')).toBe(Date.parse('2027-01-15T16:00:00Z'));
  });

  it('how long', () => {
    const text = (ms: number) => format.duration(ms).replaceAll('\u00a0', ' ');
    expect([text(-5), text(59_999), text(60_000), text(4_320_000), text(7_200_000)]).toEqual(
      ['0 s', '59 s', '1 min', '1 h 12 min', '2 h'],
    );
    expect(text(3 * 86_400_000)).toBe('3 days');
  });
});
