import type { GatherPass } from '../ir/schedule.js';
import { coordinateLets } from './coordinates.js';
import { printAll, printReturn } from './expression.js';
import { inputPart, rowPointer } from './inputs.js';
import { emitPlace } from './place.js';
import { scoreFunction } from './scores.js';
import type { Shader } from './shader.js';
import { pairName, printerFor, type Target } from './target.js';
import { comment, lines, wgsl } from './wgsl.js';

/** What gather kernels share: which row a group of lanes computes, its neighbours, and what becomes of their scores. */

export interface GatherKernelOptions {
  readonly name: string;
  readonly merge: boolean;
  readonly sink: boolean;
  /** Rows side by side in subgroups, without workgroup memory, instead of within plain WebGPU. */
  readonly subgroups?: boolean;
}

export interface GatherKernel {
  readonly text: string;
  readonly shader: Shader;
  readonly threads: number;
  /** Slots (rows, or parts of long ones) of a workgroup: `Kernel.rows`. */
  readonly rows: number;
}

/** Only the rows of explicit graphs are known to the host, and may be long. */
export const isDivided = (pass: GatherPass): boolean => pass.neighbours.kind === 'graph';

/** A count or an offset of the GatherPlan. */
const planned = (shader: Shader, part: string): string => shader.uniform(part, 'u32', { kind: 'plan', part });

/** `begin_row`: from the number of a slot to its row and the neighbours to look at. */
export function emitRows(shader: Shader, target: Target, pass: GatherPass): readonly string[] {
  const place = emitPlace(shader, target, {
    by: 'rows',
    rows: 1,
    split: false,
    tensors: ['q', 'k', 'v', 'out', 'lse'],
  });
  const begin = wgsl`
    // A row that a group of lanes computes, or a part of it.
    struct Row {
      at: Place,
      // Position of the query.
      i: i32,
      list: Neighbours,
      // The part's number among all parts; NO_PART for whole rows.
      part: u32,
      // False past the last row: nothing is computed then, nor stored.
      is_there: bool,
    }
    const NO_PART = 0xffffffffu;
    fn begin_row(number: u32) -> Row {
      let slot = find_slot(min(number, slot_count() - 1u));
      var row: Row;
      row.at = find_place(slot.row);
      row.i = row.at.first + i32(row.at.tile);
      row.part = slot.part;
      row.is_there = number < slot_count() && i32(row.at.tile) < row.at.rows;
      if (row.is_there && row.at.keys > 0) {
        row.list = neighbours(row.at, row.i);
        if (row.part != NO_PART) {
          row.list.first += slot.first;
          row.list.count = min(row.list.count, slot.count);
        }
      }
      if (row.list.count == 0u) {
        row.list.first = 0u;
      }
      return row;
    }`;
  return [...place, begin, emitSlots(shader, pass), ...emitNeighbours(shader, target, pass)];
}

function emitSlots(shader: Shader, pass: GatherPass): string {
  const struct = wgsl`
    // The row's number among all of the pass; of a part of it the first neighbour and how many.
    struct Slot {
      row: u32,
      first: u32,
      count: u32,
      part: u32,
    }`;
  if (!isDivided(pass)) {
    return wgsl`
      ${struct}
      fn slot_count() -> u32 {
        return place_count();
      }
      fn find_slot(number: u32) -> Slot {
        return Slot(number, 0u, 0u, NO_PART);
      }`;
  }
  const plan = shader.bind('plan');
  const part = (name: string): string => planned(shader, name);
  const rows = shader.uniform('rows', 'u32', { kind: 'shape', name: 'rows' });
  return wgsl`
    ${struct}
    fn slot_count() -> u32 {
      return ${part('repeats')} * (${part('part_count')} + ${part('row_count')});
    }
    // Parts of long rows come first, then the rows, by the plan's order if it has one.
    fn find_slot(number: u32) -> Slot {
      let each = ${part('part_count')} + ${part('row_count')};
      let repeat = number / each;
      let first_row = repeat * ${rows};
      var n = number % each;
      if (n < ${part('part_count')}) {
        let entry = ${part('row_parts')} + 3u * n;
        return Slot(first_row + ${plan}[entry], ${plan}[entry + 1u], ${plan}[entry + 2u], repeat * ${part('part_count')} + n);
      }
      n -= ${part('part_count')};
      if (${part('is_ordered')} != 0u) {
        n = ${plan}[${part('order')} + n];
      }
      return Slot(first_row + n, 0u, 0u, NO_PART);
    }`;
}

function emitNeighbours(shader: Shader, target: Target, pass: GatherPass): readonly string[] {
  const { neighbours } = pass;
  const struct = wgsl`
    struct Neighbours {
      count: u32,
      // Number of the first among all columns of the graph.
      first: u32,
    }`;
  switch (neighbours.kind) {
    case 'graph': {
      const exprs = [neighbours.batch, neighbours.head, neighbours.row];
      const { lets, values } = printAll(exprs, printerFor(shader, target));
      const tables = shader.bind('tables');
      const { input } = neighbours;
      return [
        wgsl`
        ${struct}
        // The columns of the row's place in the graph ${input}.
        fn neighbours(at: Place, i: i32) -> Neighbours {
          ${coordinateLets(shader, target, exprs)}
          ${lets}
          let row = ${values[2]};
          if (u32(row) >= ${inputPart(shader, input, 'rows')}) {
            return Neighbours(0u, 0u);
          }
          let pointer = ${rowPointer(shader, input, values[0], values[1], 'row')};
          let first = ${tables}[pointer];
          return Neighbours(${tables}[pointer + 1u] - first, first);
        }
        fn neighbour_at(at: Place, i: i32, list: Neighbours, n: u32) -> i32 {
          return bitcast<i32>(${tables}[${inputPart(shader, input, 'col_idx')} + list.first + n]);
        }`,
      ];
    }
    case 'family': {
      const printer = printerFor(shader, target, (name) => (name === 'member' ? 'member' : pairName(name)));
      return [
        wgsl`
        ${struct}
        fn neighbours(at: Place, i: i32) -> Neighbours {
          ${coordinateLets(shader, target, [neighbours.count])}
          ${printAll([neighbours.count], printer).lets}
          return Neighbours(u32(max(${printAll([neighbours.count], printer).values[0]}, 0)), 0u);
        }
        fn neighbour_at(at: Place, i: i32, list: Neighbours, n: u32) -> i32 {
          let member = i32(n);
          ${coordinateLets(shader, target, [neighbours.position])}
          ${printReturn(neighbours.position, printer)}
        }`,
      ];
    }
  }
}

/** `is_edge`, `checked_score`, `is_bad`. */
export function emitPairs(shader: Shader, target: Target, pass: GatherPass): readonly string[] {
  const keep = wgsl`
    ${comment(pass.sources.join('\n'))}
    fn keep(at: Place, i: i32, j: i32) -> bool {
      ${coordinateLets(shader, target, [pass.keep])}
      ${printReturn(pass.keep, printerFor(shader, target))}
    }
    fn is_edge(at: Place, i: i32, j: i32) -> bool {
      return j >= 0 && j < at.keys && keep(at, i, j);
    }`;
  const checks = wgsl`
    struct Score {
      // LOWEST where the edge has no weight.
      value: f32,
      // The score is NaN or +infinity, which reaches the row.
      is_bad: bool,
    }
    fn checked_score(at: Place, dot_product: f32, i: i32, j: i32) -> Score {
      let value = score(at, dot_product, i, j);
      let bits = bitcast<u32>(value);
      let special = (bits & INFINITY_BITS) == INFINITY_BITS;
      return Score(select(value, LOWEST, special), special && bits != NEGATIVE_INFINITY_BITS);
    }
    // Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
    fn is_bad(value: vec4<f32>) -> bool {
      let exponent = vec4<u32>(INFINITY_BITS);
      return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
    }`;
  return [keep, scoreFunction(shader, target), checks];
}

/**
 * Statements that store a row, or a part of a long one: `sums` from `column` on, at the offsets given in vec4s.
 * @param row names of the values that `store_row` takes after the position
 */
export function storeGathered(
  shader: Shader,
  target: Target,
  pass: GatherPass,
  row: {
    readonly merge: boolean;
    readonly column: string;
    readonly offsets: readonly number[];
    readonly most: number;
  },
): string {
  const sums = row.offsets.map((_, n) => `sums_${n}`).join(', ');
  const whole = `store_row(at, i, highest, total, poisoned, ${row.merge ? 'before, ' : ''}${row.column}, ${sums});`;
  if (!isDivided(pass)) return whole;
  const width = target.valueDim / 4;
  const parts = shader.bind('parts', 'read_write');
  const write = (n: number): string => {
    const offset = row.offsets[n];
    const column = offset === 0 ? row.column : `${row.column} + ${offset}u`;
    const line = `${parts}[part + ${column}] = sums_${n};`;
    return row.most + offset < width
      ? line
      : wgsl`
        if (${column} < ${width}u) {
          ${line}
        }`;
  };
  return wgsl`
    if (row.part == NO_PART) {
      ${whole}
    } else {
      let part = row.part * ${width + 1}u;
      ${lines(row.offsets.length, write)}
      if (${row.column} == 0u) {
        ${parts}[part + ${width}u] = vec4<f32>(highest, total, select(0.0, 1.0, poisoned), 0.0);
      }
    }`;
}
