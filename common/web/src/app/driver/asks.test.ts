/** Runs and the site's commands → what is told of an ask. */
import { describe, expect, it } from 'vitest';
import { PlugsideError } from '../../client/errors';
import { FakeRun } from '../../client/fake';
import { viewOf } from '../../client/fold';
import type { View } from '../../client';
import { isDone, isOver, isUnknown, newest } from './asks';

const NONE: ReadonlySet<string> = new Set();

function run(id: string, name: 'start' | 'stop' | 'reset' = 'start', charger = 'CP1', evse?: number): FakeRun {
  return new FakeRun(id, 'home', name, evse === undefined ? { charger } : { charger, evse }, {}, 0);
}

function view(told: object = {}): View {
  return viewOf({ view: { site: 'home', ...told } as never, epoch: '1-a', seq: 1 });
}

const command = (told: object) => ({ command: 'c', name: 'start', charger: 'CP1', principal: 'me', ...told });

describe('newest', () => {
  it('is the latest of this charger and connector that was not put away', () => {
    const runs = [run('4', 'start', 'CP2'), run('3', 'stop', 'CP1', 2), run('2', 'start', 'CP1', 1), run('9')];
    expect(newest(view(), runs, 'CP1', 1, 'me', NONE)?.id).toBe('2');
    expect(newest(view(), runs, 'CP1', 1, 'me', new Set(['2']))?.id).toBe('9');
    expect(newest(view(), runs, 'CP1', undefined, 'me', NONE)?.id).toBe('3');
    expect(newest(view(), runs, 'CP9', 1, 'me', NONE)).toBeNull();
  });

  it('leaves out what is no business of a driver', () => {
    expect(newest(view(), [run('1', 'reset')], 'CP1', 1, 'me', NONE)).toBeNull();
  });

  it("tells of one's own command that another tab has sent, until it is settled", () => {
    const told = (state: string, principal = 'me') =>
      newest(view({ commands: { c: command({ state, principal, answer: 'accepted' }) } }), [], 'CP1', 1, 'me', NONE);
    expect(told('accepted')?.at).toBe('accepted');
    expect(told('confirmed')?.at).toBe('confirmed');
    expect(told('settled')).toBeNull();
    expect(told('accepted', 'you')).toBeNull();
  });

  it('shows what goes on in another tab before what is over in this one', () => {
    const [here, other] = [run('1'), view({ commands: { c: command({ state: 'accepted' }) } })];
    expect(newest(other, [here], 'CP1', 1, 'me', NONE)?.id).toBe('1');
    here.tell({ at: 'settled', outcome: 'succeeded' });
    expect(newest(other, [here], 'CP1', 1, 'me', NONE)?.id).toBe('c');
  });

  it('never says more than its run: asked, accepted, confirmed, settled', () => {
    const one = run('1');
    const at = () => newest(view(), [one], 'CP1', 1, 'me', NONE);
    expect(at()?.at).toBe('asked');
    one.tell({ at: 'accepted' });
    expect([at()?.at, isOver(at()!)]).toEqual(['accepted', false]);
    one.tell({ at: 'confirmed', answer: 'accepted' });
    expect(isDone(at()!)).toBe(false);
    one.tell({ at: 'settled', outcome: 'succeeded' });
    expect(isDone(at()!)).toBe(true);
  });

  it('keeps a refusal with its code', () => {
    const one = run('1');
    one.refuse('connector_in_use');
    expect(newest(view(), [one], 'CP1', 1, 'me', NONE)?.trouble?.code).toBe('connector_in_use');
  });
});

describe('an outcome that is unknown', () => {
  const lost = () => {
    const one = run('1');
    one.tell({ at: 'unknown', error: new PlugsideError('no_path') });
    return one;
  };

  it('stays unknown while nothing is seen', () => {
    const ask = newest(view(), [lost()], 'CP1', 1, 'me', NONE);
    expect([isUnknown(ask!), ask?.seen]).toEqual([true, false]);
  });

  it('is seen when a session names the command', () => {
    const sessions = { s: { session: 's', charger: 'CP1', evse: 1, command: '1' } };
    expect(newest(view({ sessions }), [lost()], 'CP1', 1, 'me', NONE)?.seen).toBe(true);
  });

  it('is known when the site tells how it was settled', () => {
    const commands = { 1: command({ command: '1', state: 'settled', outcome: 'failed', code: 'charger_rejected' }) };
    const ask = newest(view({ commands }), [lost()], 'CP1', 1, 'me', NONE);
    expect([isUnknown(ask!), ask?.trouble?.code]).toEqual([false, 'charger_rejected']);
  });
});
