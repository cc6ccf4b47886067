/** Input tables as the interpreter reads them: plain numbers, and a graph as a map from row to column to weight. */

export interface TableData {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** By tensor name; a graph `g` is `g.row_ptr`, `g.col_idx` and perhaps `g.weight`. */
export type Tables = Readonly<Record<string, TableData>>;

/** The entry at `indices`, or 0 where one of them is out of range. */
export function entry(table: TableData, indices: readonly number[]): number {
  let at = 0;
  for (let axis = 0; axis < indices.length; axis++) {
    if (!(indices[axis] >= 0 && indices[axis] < table.shape[axis])) return 0;
    at = at * table.shape[axis] + indices[axis];
  }
  return table.data[at];
}

/** Weights by column, one map for each row of each graph: rows of a second graph follow those of the first. */
export interface Graph {
  readonly rowsEach: number;
  readonly rows: readonly ReadonlyMap<number, number>[];
}

/**
 * Reads CSR: `row_ptr` [..., rows + 1] holds offsets into `col_idx` [entries]; entries may be unsorted and repeated.
 * Of a repeated entry the first weight counts.
 */
export function graphOf(name: string, tables: Tables): Graph {
  const pointers = required(`${name}.row_ptr`, tables);
  const columns = required(`${name}.col_idx`, tables).data;
  const weights = tables[`${name}.weight`]?.data;
  const width = pointers.shape[pointers.shape.length - 1];
  const rows: Map<number, number>[] = [];
  for (let start = 0; start < pointers.data.length; start += width) {
    for (let row = start; row < start + width - 1; row++) {
      const columnsOfRow = new Map<number, number>();
      for (let e = pointers.data[row]; e < pointers.data[row + 1]; e++) {
        if (!columnsOfRow.has(columns[e]))
          columnsOfRow.set(columns[e], weights === undefined ? 0 : weights[e]);
      }
      rows.push(columnsOfRow);
    }
  }
  return { rowsEach: width - 1, rows };
}

export function required(name: string, tables: Tables): TableData {
  const table = tables[name];
  if (table === undefined) throw new Error(`the interpreter needs a table ${name}`);
  return table;
}
