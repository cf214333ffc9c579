/** The big state: one word, its figures, and the line that says what it means. Announced when the word changes. */
import type { JSX } from 'preact';
import type { ChargerView, SiteState } from '../../client';
import * as format from '../format';
import { Icon } from '../ui';
import { zoneOf } from './reach';
import { limitSaid, stateSaid } from './said';
import type { Shown } from './state';
import { type DriverWords, driverWords } from './words';

export function Hero(props: {
  site: SiteState;
  charger: ChargerView;
  evse: number | undefined;
  state: Shown;
  nowMs: number;
}): JSX.Element {
  const { site, state, nowMs } = props;
  const words = driverWords();
  const told = stateSaid(state, words, nowMs, zoneOf(site));
  const place = props.evse === undefined ? undefined : props.charger.connectors[String(props.evse)];
  const limit = limitSaid(place, words);
  const [plain] = words.state[state.kind] ?? [];
  return (
    <section
      class={`hero tone-${state.tone} ${state.doubt === 'last_known' ? 'hero-past' : ''}`}
      data-testid="hero"
      data-kind={state.kind}
      data-doubt={state.doubt}
    >
      <span class="hero-icon">
        <Icon name={state.icon} size={2.25} />
      </span>
      <p class="hero-headline number">{told.headline}</p>
      <span class="out-of-sight" role="status">
        {plain}
      </span>
      {state.session !== null && state.mine ? <FiguresRow state={state} words={words} nowMs={nowMs} site={site} /> : null}
      <p class="hero-line">{told.line}</p>
      {state.fault ? <p class="hero-line">{words.chargerSays(state.fault)}</p> : null}
      {limit ? (
        <p class="hero-limit">
          <Icon name="gauge" size={1.125} />
          <span>{limit}</span>
        </p>
      ) : null}
    </section>
  );
}

function FiguresRow(props: { state: Shown; words: DriverWords; nowMs: number; site: SiteState }): JSX.Element {
  const { words } = props;
  const { energy_wh, soc_percent, sinceMs } = props.state.figures;
  const since = sinceMs === undefined ? '' : format.clock(sinceMs, props.nowMs, zoneOf(props.site));
  return (
    <dl class="figures">
      <Figure name={words.energy} value={energy_wh === null ? '–' : format.energy(energy_wh)} />
      {soc_percent === null ? null : <Figure name={words.battery} value={format.percent(soc_percent)} />}
      <Figure name={words.since} value={since || '–'} />
    </dl>
  );
}

function Figure({ name, value }: { name: string; value: string }): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd class="number">{value}</dd>
    </div>
  );
}
