/** The power curve. The chart itself is loaded when one is shown; its place is kept from the start. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { AppClient, SessionView, SiteState } from '../../client';
import { useClient } from '../client';
import * as format from '../format';
import { language } from '../i18n';
import { Card } from '../ui';
import type { Chart } from './chart';
import { zoneOf } from './reach';
import { type MeterRow, NO_SERIES, type Series, carriedOn, seriesOf } from './series';
import { driverWords } from './words';

/** Pages of samples that are fetched at most: two days of a sample a minute. */
const PAGES_MAX = 8;
const PAGE_ROWS = 500;

/** The curve of a session, live while it goes on. */
export function SessionCurve({ site, session }: { site: SiteState; session: SessionView }): JSX.Element {
  const past = useSeries(site.id, session.session);
  const [live, setLive] = useState<Series>(NO_SERIES);
  useEffect(() => {
    setLive((known) => carriedOn(past !== null && past.times.length > known.times.length ? past : known, session));
  }, [past, session.sampled_at, session.power_w]);
  return <Curve series={live} loading={past === null && live.times.length === 0} zone={zoneOf(site)} />;
}

/** A session's samples; null while they are on their way. What cannot be fetched is no curve, not an error. */
export function useSeries(site: string, session: string): Series | null {
  const client = useClient();
  const [series, setSeries] = useState<Series | null>(null);
  useEffect(() => {
    let wanted = true;
    setSeries(null);
    fetched(client, site, session)
      .catch(() => NO_SERIES)
      .then((got) => {
        if (wanted) setSeries(got);
      });
    return () => {
      wanted = false;
    };
  }, [client, site, session]);
  return series;
}

async function fetched(client: AppClient, site: string, session: string): Promise<Series> {
  const rows: MeterRow[] = [];
  let after = '';
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    const page = await client.query<MeterRow>(site, 'meter', { session }, { after, limit: PAGE_ROWS });
    rows.push(...page.rows);
    after = page.next;
    if (after === '') break;
  }
  return seriesOf(rows);
}

/** A series drawn, with its meaning in words for those who do not see it. */
export function Curve(props: { series: Series; loading?: boolean; zone?: string | undefined }): JSX.Element {
  const { series, zone } = props;
  const words = driverWords();
  const frame = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | null>(null);
  const newest = useRef(series);
  newest.current = series;
  const speaks = language.value;
  useEffect(() => {
    let wanted = true;
    void import('./chart').then(({ Chart }) => {
      if (!wanted || frame.current === null) return;
      chart.current = new Chart(frame.current, zone);
      chart.current.show(newest.current);
    });
    return () => {
      wanted = false;
      chart.current?.destroy();
      chart.current = null;
    };
  }, [zone, speaks]);
  useEffect(() => chart.current?.show(series), [series]);
  const most = format.power(Math.max(0, ...series.power_w));
  const last = format.power(series.power_w.at(-1) ?? 0);
  const some = series.times.length > 1;
  return (
    <Card title={words.curve}>
      <div class="curve" role="img" aria-label={some ? words.curveSays(most, last) : words.curveNone} data-points={series.times.length}>
        <div class="curve-frame" ref={frame} />
        {some ? null : <p class="curve-none muted">{props.loading ? words.curveLoading : words.curveNone}</p>}
      </div>
    </Card>
  );
}
