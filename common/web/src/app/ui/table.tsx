/**
 * Tables with paging. On a phone each row becomes a block of names and values, so nothing scrolls sideways.
 *
 *     <Table caption="Sessions' columns={[{ key: 'charger', name: 'Charger", cell: (row) => row.charger }]} …/>
 */
import type { ComponentChildren, JSX } from 'preact';
import { shellWords } from '../words';
import { Button } from './button';

export interface Column<R> {
  key: string;
  name: string;
  cell: (row: R) => ComponentChildren;
  /** Figures stand right and under each other. */
  number?: boolean | undefined;
}

export interface TableProps<R> {
  caption: string;
  columns: readonly Column<R>[];
  rows: readonly R[];
  rowKey: (row: R) => string;
  /** Makes a row a link: where it leads. The first column's cell is what is linked. */
  rowHref?: ((row: R) => string) | undefined;
  empty?: ComponentChildren | undefined;
  /** There are more rows behind these. */
  more?: boolean | undefined;
  busy?: boolean | undefined;
  onMore?: (() => void) | undefined;
}

/** A table, its empty state, and the button for more. */
export function Table<R>(props: TableProps<R>): JSX.Element {
  const words = shellWords();
  if (props.rows.length === 0 && !props.busy && !props.more && props.empty) return <>{props.empty}</>;
  return (
    <div class="table-frame">
      <table class="table">
        <caption class="out-of-sight">{props.caption}</caption>
        <thead>
          <tr>
            {props.columns.map((column) => (
              <th key={column.key} scope="col" class={column.number ? 'right' : ''}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <tr key={props.rowKey(row)}>{props.columns.map((column, index) => cell(props, column, row, index))}</tr>
          ))}
        </tbody>
      </table>
      {props.more ? (
        <div class="table-more">
          <Button wide busy={props.busy} onPress={props.onMore}>
            {words.more}
          </Button>
        </div>
      ) : null}
    </div>
  );
}

function cell<R>(props: TableProps<R>, column: Column<R>, row: R, index: number): JSX.Element {
  const content = column.cell(row);
  const target = index === 0 ? props.rowHref?.(row) : undefined;
  return (
    <td key={column.key} data-name={column.name} class={column.number ? 'right number' : ''}>
      {target !== undefined ? (
        <a class="table-link" href={target}>
          {content}
        </a>
      ) : (
        content
      )}
    </td>
  );
}
