/** A text as a code to scan; the encoder is loaded when the first one is shown. Dark on light in both themes. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';

/** Modules of light around the code (ISO/IEC 18004 asks for four). */
const QUIET = 4;

export function QrCode({ text, label }: { text: string; label: string }): JSX.Element {
  const [rows, setRows] = useState<readonly (readonly boolean[])[]>([]);
  useEffect(() => {
    let wanted = true;
    void import('qr').then(({ encodeQR }) => {
      if (wanted) setRows(encodeQR(text, 'raw', { border: QUIET, ecc: 'low' }));
    });
    return () => {
      wanted = false;
    };
  }, [text]);
  const size = rows.length;
  return (
    <svg class="op-qr" role="img" aria-label={label} viewBox={`0 0 ${size} ${size}`} shapeRendering="crispEdges" data-testid="op-qr">
      <rect width={size} height={size} fill="#fff" />
      <path d={drawn(rows)} fill="#000" />
    </svg>
  );
}

/** One path for all dark modules, a run of them at a time. */
export function drawn(rows: readonly (readonly boolean[])[]): string {
  const path: string[] = [];
  rows.forEach((row, y) => {
    for (let x = 0; x < row.length; x++) {
      if (!row[x]) continue;
      let run = 1;
      while (row[x + run]) run++;
      path.push(`M${x} ${y}h${run}v1h-${run}z`);
      x += run - 1;
    }
  });
  return path.join('');
}
