/**
 * Rows as CSV (RFC 4180) for a spreadsheet. A cell that a spreadsheet would take for a formula is made text: names
 * and ids come from people and from chargers. Pure.
 */

/** First characters after which spreadsheets calculate; tab and return are looked through by some of them. */
const FORMULA = /^[\t\r\n ]*[=+\-@＝＋－＠]/;
const NUMBER = /^-?\d+(\.\d+)?$/;

/** One cell. Numbers stay numbers, a negative one too; everything else that could calculate gets a quote in front. */
export function cell(value: string | number | boolean | null | undefined): string {
  if (value === null || value === undefined) return '';
  const text = String(value);
  const safe = FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
  return /[",;\r\n\t]/.test(safe) || safe !== safe.trim() ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A table: names of the columns, then the rows. Begins with a mark that tells spreadsheets it is UTF-8. */
export function csv(
  columns: readonly string[],
  rows: readonly (readonly (string | number | boolean | null | undefined)[])[],
): string {
  return `\uFEFF${[columns, ...rows].map((row) => row.map(cell).join(',')).join('\r\n')}\r\n`;
}

/** A name for the file that every system takes. */
export function fileName(...parts: readonly string[]): string {
  const plain = parts.map((part) => part.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[-.]+|[-.]+$/g, '')).filter(Boolean);
  return `${plain.join('_').slice(0, 100) || 'plugside'}.csv`;
}
