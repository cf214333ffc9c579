/** State → what is shown and said, over every state of a connector and every way a site can be. */
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { emptyView, viewOf } from '../../client/fold';
import type { ConnectorState, SiteState } from '../../client';
import { stateSaid, limitSaid } from './said';
import { type Kind, type Shown, shown } from './state';
import { de } from './words.de';
import { en } from './words.en';

beforeAll(() => void vi.stubGlobal('navigator', { languages: ['en-GB'] }));

const NOW = Date.parse('2027-01-15T18:12:00.000Z');
const ALL: readonly ConnectorState[] = [
  'unknown',
  'available',
  'preparing',
  'charging',
  'suspended_ev',
  'suspended_evse',
  'finishing',
  'reserved',
  'unavailable',
  'faulted',
];

interface Given {
  state?: ConnectorState;
  place?: object;
  session?: object | null;
  charger?: object;
  site?: Partial<SiteState>;
  commands?: object;
  reservations?: string[];
  started?: boolean;
}

const MINE = {
  session: 's',
  charger: 'CP1',
  evse: 1,
  principal: 'me',
  started_at: '2027-01-15T18:02:00.000Z',
  heard_at: '2027-01-15T18:11:30.000Z',
  energy_wh: 3400,
  power_w: 7200,
};

function look(given: Given): Shown {
  const place = { evse: 1, state: given.state ?? 'available', ...(given.session ? { session: 's' } : {}), ...given.place };
  const view = {
    site: 'home',
    chargers: { CP1: { id: 'CP1', adopted: true, online: true, connectors: { 1: place }, ...given.charger } },
    sessions: given.session ? { s: { ...MINE, ...given.session } } : {},
    commands: given.commands ?? {},
  };
  const site = {
    view: viewOf({ view: view as never, epoch: '1-a', seq: 1 }),
    live: true,
    asOf: NOW,
    path: 'lan',
    online: true,
    principal: 'me',
    role: 'driver',
    shown: true,
    ...given.site,
  } as SiteState;
  const charger = site.view.chargers['CP1'];
  if (charger === undefined) throw new Error('no charger');
  return shown({ site, charger, evse: 1, nowMs: NOW, reservations: given.reservations, started: given.started });
}

const said = (told: Shown) => stateSaid(told, en, NOW, 'UTC');

describe('a free or foreign connector', () => {
  const kinds: Record<ConnectorState, Kind> = {
    unknown: 'unknown',
    available: 'ready',
    preparing: 'plugged',
    charging: 'in_use',
    suspended_ev: 'in_use',
    suspended_evse: 'in_use',
    finishing: 'finished',
    reserved: 'reserved',
    unavailable: 'out_of_service',
    faulted: 'faulted',
  };
  it.each(ALL)('%s', (state) => {
    const told = look({ state });
    expect(told.kind).toBe(kinds[state]);
    expect(told.may.start).toBe(state === 'available' || state === 'preparing');
    expect(told.may.stop).toBe(false);
    expect(told.may.limit).toBe(false);
    expect(told.may.reserve).toBe(state === 'available');
    expect(told.may.unlock).toBe(false);
    expect(said(told).headline).toBe(en.state[told.kind]?.[0]);
  });
});

describe("one's own charge", () => {
  const kinds: Partial<Record<ConnectorState, Kind>> = {
    suspended_ev: 'paused_by_car',
    suspended_evse: 'paused_by_charger',
    finishing: 'finished',
    faulted: 'faulted',
  };
  it.each(ALL)('%s', (state) => {
    const told = look({ state, session: {} });
    expect(told.kind).toBe(kinds[state] ?? 'charging');
    expect(told.mine).toBe(true);
    expect(told.may.start).toBe(false);
    expect(told.may.stop).toBe(true);
    expect(told.may.unlock).toBe(true);
    expect(told.may.unlockEnds).toBe(true);
  });

  it('says power, energy and since when', () => {
    expect(said(look({ state: 'charging', session: {} })).short).toBe('Charging 7.2 kW, 3.4 kWh, since 18:02');
  });

  it('shows no power that is too old to be now', () => {
    const told = look({ state: 'charging', session: { heard_at: '2027-01-15T18:08:59.000Z' } });
    expect(told.figures.power_w).toBeNull();
    expect(said(told).short).toBe('Charging, 3.4 kWh, since 18:02');
  });

  it('shows no figure that nobody told', () => {
    const told = look({ state: 'charging', session: { energy_wh: null, power_w: null, started_at: '18:02' } });
    expect(said(told).short).toBe('Charging');
  });

  it("is not somebody else's to stop", () => {
    const told = look({ state: 'charging', session: { principal: 'you' } });
    expect([told.mine, told.may.stop, told.may.limit, told.may.unlock]).toEqual([false, false, false, false]);
  });

  it('can be stopped by whoever runs the site', () => {
    const told = look({ state: 'charging', session: { principal: 'you' }, site: { role: 'operator' } });
    expect([told.may.stop, told.may.limit]).toEqual([true, true]);
  });
});

describe('what is not the present', () => {
  it.each(ALL)('%s, site unreachable: nothing may be asked, no power is claimed', (state) => {
    const told = look({ state, session: {}, site: { live: false, path: null, asOf: NOW - 600_000 } });
    expect(told.doubt).toBe('last_known');
    expect(told.reach).toBe('none');
    expect(Object.values(told.may)).toEqual([false, false, false, false, false, false, false]);
    expect(told.figures.power_w).toBeNull();
    expect(told.figures.energy_wh).toBe(3400);
    expect(said(told).line).toBe('The last that is known, at 18:02.');
  });

  it('the box is away from its cloud: a start is not queued', () => {
    const told = look({ state: 'preparing', site: { live: false, path: 'cloud', online: false } });
    expect([told.reach, told.may.start]).toEqual(['box_away', false]);
  });

  it('the charger is away: a stop may still be asked, which the box repeats', () => {
    const told = look({ state: 'charging', session: {}, charger: { online: false }, place: { stale: true } });
    expect([told.kind, told.doubt, told.may.stop, told.may.limit]).toEqual(['charging', 'last_known', true, false]);
    expect(look({ charger: { online: false } }).kind).toBe('not_connected');
  });

  it('is being confirmed: says so, and nothing is started on it', () => {
    const told = look({ state: 'available', place: { observed: 'charging' } });
    expect([told.doubt, told.tone, told.may.start, told.may.reserve]).toEqual(['confirming', 'wait', false, false]);
    expect(said(told).headline).toBe('One moment');
    expect(said(told).line).toContain('Ready');
  });

  it('has told of no connector yet', () => {
    expect(look({ charger: { connectors: {} } }).kind).toBe('unknown');
    expect(look({ charger: { connectors: {}, station: 'unavailable' } }).kind).toBe('out_of_service');
  });
});

describe('reservations', () => {
  const kept = { reserved_by: 'r', reserved_until: '2027-01-15T18:30:00.000Z' };

  it("one's own, as this device remembers it or the site tells it", () => {
    for (const given of [
      { reservations: ['r'] },
      { commands: { r: { command: 'r', name: 'reserve', charger: 'CP1', principal: 'me' } } },
    ]) {
      const told = look({ state: 'reserved', place: kept, ...given });
      expect([told.kind, told.may.start, told.may.cancel]).toEqual(['kept_for_you', true, true]);
      expect(said(told).line).toContain('until 18:30');
    }
  });

  it("somebody else's", () => {
    const told = look({ state: 'reserved', place: kept });
    expect([told.kind, told.may.start, told.may.cancel]).toEqual(['reserved', false, false]);
    expect(said(told).line).toContain('Reserved until 18:30');
  });
});

describe('the rest', () => {
  it('waits for the car after the charger has said yes', () => {
    const told = look({ state: 'available', started: true });
    expect([told.kind, told.may.start]).toEqual(['waiting_for_car', false]);
  });

  it('says a fault in its own words, and keeps silent about none', () => {
    expect(look({ state: 'faulted', place: { error_code: 'GroundFailure', info: 'RCD' } }).fault).toBe('GroundFailure: RCD');
    expect(look({ state: 'faulted', place: { error_code: 'NoError' } }).fault).toBe('');
  });

  it('knows a charge that the charger told nothing of', () => {
    expect(look({ state: 'charging', place: { unattributed: true } }).kind).toBe('untold');
    expect(look({ state: 'charging', session: { flags: ['unattributed'] } }).kind).toBe('untold');
  });

  it("unlocks one's own cable after the charge, and nobody else's", () => {
    const ended = { ended_at: '2027-01-15T18:11:00.000Z' };
    const view = (principal: string) =>
      look({ state: 'finishing', place: { session: null }, session: { ...ended, principal } }).may;
    expect([view('me').unlock, view('me').unlockEnds]).toEqual([true, false]);
    expect(view('you').unlock).toBe(false);
  });

  it('has words for every kind in both languages', () => {
    for (const words of [en, de]) expect(Object.keys(words.state).sort()).toEqual(Object.keys(en.state).sort());
    for (const state of ALL) expect(en.state[look({ state }).kind]).toBeDefined();
  });

  it('an empty view shows nothing rather than breaking', () => {
    expect(Object.keys(emptyView('x').chargers)).toEqual([]);
  });
});

describe('a limit', () => {
  const limit = (told: object) => {
    const site = look({ state: 'charging' });
    expect(site).toBeDefined();
    const view = viewOf({
      view: { site: 'h', chargers: { CP1: { id: 'CP1', connectors: { 1: { evse: 1, session_limit: told } } } } } as never,
      epoch: '',
      seq: 0,
    });
    return limitSaid(view.chargers['CP1']?.connectors['1'], en);
  };

  it('is relied on only when it is proven', () => {
    expect(limit({ limit_a: 10, proof: 'proven' })).toBe('at most 10 A');
    expect(limit({ limit_a: 10, proof: 'unproven' })).toBe('at most 10 A, not proven yet');
    expect(limit({ asked_a: 8, proof: 'unanswered' })).toBe('8 A asked for');
    expect(limit({ proof: 'refused' })).toBe('a limit was refused');
  });
});
