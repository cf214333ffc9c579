/** uPlot, dressed in the theme's colours; a chunk of its own, loaded with the first curve. */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import * as format from '../format';
import { type Series, once } from './series';

const HEIGHT_PX = 180;

/** A chart in an element, as wide as that is. `destroy` it. */
export class Chart {
  private readonly plot: uPlot;
  private readonly watch: ResizeObserver;
  private readonly dark = matchMedia('(prefers-color-scheme: dark)');
  private readonly redraw = (): void => this.plot.redraw(false);

  constructor(
    private readonly frame: HTMLElement,
    zone: string | undefined,
  ) {
    this.plot = new uPlot(this.options(zone), [[], []], frame);
    this.watch = new ResizeObserver(() => this.plot.setSize(this.size()));
    this.watch.observe(frame);
    this.dark.addEventListener('change', this.redraw);
  }

  /** Draw this. */
  show(series: Series): void {
    this.plot.setData([[...series.times], series.power_w.map((watts) => watts / 1000)]);
  }

  destroy(): void {
    this.watch.disconnect();
    this.dark.removeEventListener('change', this.redraw);
    this.plot.destroy();
  }

  private size(): { width: number; height: number } {
    return { width: Math.max(120, this.frame.clientWidth), height: HEIGHT_PX };
  }

  private options(zone: string | undefined): uPlot.Options {
    const colour = (name: string) => (): string => getComputedStyle(this.frame).getPropertyValue(name).trim();
    const font = '12px system-ui, sans-serif';
    const axis = { stroke: colour('--muted'), font, ticks: { show: false } };
    return {
      ...this.size(),
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 8, 0, 0],
      scales: { x: { time: true }, y: { range: (_, __, most) => [0, Math.max(1, Math.ceil(most * 1.1))] } },
      axes: [
        {
          ...axis,
          size: 28,
          space: 72,
          grid: { show: false },
          values: (_, splits) => once(splits.map((at) => format.clock(at * 1000, undefined, zone))),
        },
        {
          ...axis,
          size: 56,
          space: 40,
          grid: { stroke: colour('--line'), width: 1 },
          values: (_, splits) => splits.map((kw) => (kw === 0 ? '0' : `${format.count(kw)} kW`)),
        },
      ],
      series: [{}, { stroke: colour('--flow'), fill: colour('--flow-soft'), width: 2, points: { show: false } }],
    };
  }
}
