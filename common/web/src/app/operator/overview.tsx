/** What of a site needs somebody, each with its next step; then the site in facts. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { SiteState } from '../../client';
import { useNow } from '../client';
import * as format from '../format';
import { href } from '../router';
import { Badge, Button, Card, Empty, Facts, type IconName, List, Row, type Tone } from '../ui';
import { AdoptSheet } from './adopt';
import { wayOf } from './ask';
import { useOffice, zoneOf } from './context';
import { type Item, KINDS, type NeedKind, itemsOf, nameOf } from './needs';
import { TagSheet } from './tags';
import { operatorWords } from './words';
import { ZoneSheet } from './zone';

const LOOK: Record<NeedKind, readonly [Tone, IconName]> = {
  offline: ['bad', 'cut'],
  clock: ['bad', 'clock'],
  faulted: ['bad', 'alert'],
  lost: ['bad', 'cut'],
  unattributed: ['bad', 'question'],
  flagged: ['wait', 'receipt'],
  orphans: ['wait', 'question'],
  waiting: ['wait', 'plus'],
  taps: ['wait', 'hand'],
  backlog: ['wait', 'cloud'],
};

export function Overview({ site }: { site: SiteState }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const [adopting, adopt] = useState('');
  const [tag, giveTag] = useState('');
  const items = itemsOf(site.view);
  const needs = office.row?.needs ?? {};
  const whole = (['offline', 'clock', 'flagged', 'orphans', 'backlog'] as const).filter((kind) => (needs[kind] ?? 0) > 0);
  const all: (Item | { kind: NeedKind; whole: true })[] = [
    ...items,
    ...whole.map((kind) => ({ kind, whole: true as const })),
  ].sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind));
  return (
    <div class="op-columns">
      <section class="op-column" aria-label={words.needsYou}>
        {all.length === 0 ? (
          <Empty icon="check" title={words.nothingNeeds} testId="op-all-well" />
        ) : (
          <List label={words.needsYou}>
            {all.map((item) =>
              'whole' in item ? (
                <WholeLine key={item.kind} site={site.id} kind={item.kind} count={needs[item.kind] ?? 0} />
              ) : (
                <ItemLine
                  key={`${item.kind}-${item.charger?.id}-${item.place?.evse}-${item.tag}`}
                  site={site}
                  item={item}
                  onAdopt={adopt}
                  onTag={giveTag}
                />
              ),
            )}
          </List>
        )}
      </section>
      <section class="op-column op-narrow">
        <SiteFacts site={site} />
      </section>
      <AdoptSheet site={site.id} charger={adopting} onClose={() => adopt('')} />
      <TagSheet site={site} tag={tag} onClose={() => giveTag('')} />
    </div>
  );
}

function Mark({ kind, count }: { kind: NeedKind; count: number }): JSX.Element {
  const words = operatorWords();
  const [tone, icon] = LOOK[kind];
  return (
    <Badge tone={tone} icon={icon}>
      {words.needs[kind]?.(count) ?? kind}
    </Badge>
  );
}

/** Something of the whole site. */
function WholeLine({ site, kind, count }: { site: string; kind: NeedKind; count: number }): JSX.Element {
  const words = operatorWords();
  const target = kind === 'flagged' || kind === 'orphans' ? href('operator', site, 'sessions', 'flagged') : undefined;
  return <Row title={<Mark kind={kind} count={count} />} detail={words.hints[kind]} href={target} testId={`op-need-${kind}`} />;
}

function ItemLine(props: {
  site: SiteState;
  item: Item;
  onAdopt: (charger: string) => void;
  onTag: (tag: string) => void;
}): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const nowMs = useNow(props.site.id);
  const { kind, charger, place, tag, at } = props.item;
  const ms = format.instant(at ?? '');
  const where = charger ? nameOf(charger) : '';
  const said = [
    place && Object.keys(charger?.connectors ?? {}).length > 1 ? words.outlet(place.evse) : '',
    kind === 'faulted' ? [place?.error_code, place?.info].filter(Boolean).join(': ') : '',
    ms === undefined ? '' : words.since(format.clock(ms, nowMs, zoneOf(office))),
  ].filter(Boolean);
  const press = kind === 'waiting' && charger ? () => props.onAdopt(charger.id) : kind === 'taps' && tag ? () => props.onTag(tag) : undefined;
  return (
    <Row
      title={
        <span class="op-need">
          <Mark kind={kind} count={1} />
          <span>{kind === 'taps' ? words.tapAt(where || '?') : where}</span>
        </span>
      }
      detail={
        <>
          {said.length > 0 ? <span class="op-said">{said.join(' · ')}</span> : null}
          {words.hints[kind]}
        </>
      }
      href={press === undefined && charger ? href('operator', props.site.id, 'chargers', charger.id) : undefined}
      onPress={press}
      testId={`op-need-${kind}-${charger?.id ?? tag}`}
    />
  );
}

function SiteFacts({ site }: { site: SiteState }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const row = office.row;
  const online = row?.online ?? site.online;
  const seen = format.instant(row?.seen_at ?? '');
  const [choosing, choose] = useState(false);
  return (
    <Card title={words.siteFacts}>
      <Facts
        rows={[
          [
            words.connected,
            <Badge key="c" tone={online ? 'good' : 'bad'}>
              {online ? words.connected : words.away}
            </Badge>,
          ],
          ['', online || seen === undefined ? '' : words.lastHeard(format.moment(seen, zoneOf(office)))],
          [words.clockName, clockWords(row?.clock || site.clock, row?.skew_ms ?? 0)],
          [words.backlog, row === undefined ? '' : words.records(row.backlog)],
          [words.version, row?.software ?? ''],
          [words.zone, zoneOf(office) ?? words.zoneHere],
          [words.address, row?.addresses.join(', ') ?? ''],
        ]}
      />
      {wayOf(site) ? (
        <Button onPress={() => choose(true)} testId="op-zone">
          {words.setZone}
        </Button>
      ) : null}
      <ZoneSheet site={site.id} open={choosing} onClose={() => choose(false)} />
    </Card>
  );
}

/** Below a minute clocks and lines differ anyway. */
const SKEW_SHOWN_MS = 60_000;

function clockWords(quality: string, skewMs: number): string {
  const words = operatorWords();
  if (Math.abs(skewMs) >= SKEW_SHOWN_MS) return words.clockOff(format.duration(Math.abs(skewMs)), skewMs > 0);
  return quality === 'floor' ? words.clockFloor : words.clockGood;
}
