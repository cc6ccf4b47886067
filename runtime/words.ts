import { boxBits, divideGraph, inputOf, partOf } from '../compiler/ir/graph-boxes.js';
import type { BoundGraph, BoundTable } from '../compiler/ir/inputs.js';
import type { Variant } from '../compiler/ir/program.js';
import type { GatherPlan } from '../compiler/ir/gather-plan.js';
import { TILE, type PassPlan } from '../compiler/ir/schedule.js';
import { baseOf, type BoundShape } from '../compiler/ir/shape.js';
import type { DeviceTable, InputBinding } from './bind-inputs.js';
import { gatherWords } from './gathers.js';

/**
 * The contents of the bindings `tables` and `plan`: 32-bit words, with the numbers that kernels find them by.
 *
 * `tables`, by input name. Of a table: `offset`, and `size.N`, its length along axis N; ints and floats are their
 * bits, bools 0 or 1. Of a graph, or the rest of one: `row_ptr`, `col_idx`, `weight` (offsets), `rows`, `cols`, `batches`,
 * `heads`. Of its edges in dense boxes: the same of the graph of boxes, and `bits` (see `boxBits`).
 *
 * `plan`, once: `lengths`, the offset of four words (queries, keys, rows to compute, position of the first)
 * for each batch. For the pass of a kernel: `tiles`,
 * `classes`, `by_batch`, `by_head`, the offsets `offsets` and `runs`, and of list space N `list.N.offsets` and
 * `list.N.values` (see PassPlan). Of a gather: `repeats`, `part_count`, `row_count`, `long_count`, `is_ordered`, the offsets
 * `order`, `row_parts` and `long_rows` (see GatherPlan).
 */
export interface Words {
  readonly words: Uint32Array;
  readonly parts: ReadonlyMap<string, number>;
}

export interface TableWords extends Words {
  /** Tables on the device, and the word that each is copied to. */
  readonly copies: readonly { readonly from: DeviceTable; readonly to: number }[];
}

/** @param names of the tables, graphs and parts of graphs that kernels read: the others stay on the host */
export function tableWords(inputs: InputBinding, names: ReadonlySet<string>): TableWords {
  const parts = new Map<string, number>();
  const pieces: Piece[] = [];
  const copies: { from: DeviceTable; to: number }[] = [];
  let used = 0;
  const put = (data: Piece): number => {
    const at = used;
    pieces.push(data);
    used += data.length;
    return at;
  };
  for (const name of names) {
    const input = inputOf(inputs.host, name);
    const tiled = tiledGraph(inputs, name);
    if (tiled) putTiled(name, tiled, parts, put);
    else if (input?.kind === 'table') putTable(name, input, parts, put);
    else if (input) putGraph(name, input, parts, put);
  }
  // Tables on the device come last: their words are left 0 here.
  for (const [name, from] of inputs.device) {
    parts.set(`${name}/offset`, used);
    from.sizes.forEach((size, axis) => parts.set(`${name}/size.${axis}`, size));
    copies.push({ from, to: used });
    used += from.words;
  }
  return { words: join(pieces, used), parts, copies };
}

/** Names of the tables, graphs and parts of graphs that kernels read. */
export function tablesRead(variants: readonly Variant[]): ReadonlySet<string> {
  const sources = variants.flatMap((v) => v.kernels.flatMap((k) => k.uniforms.map((u) => u.source)));
  return new Set(sources.flatMap((s) => (s.kind === 'table' ? [s.name] : [])));
}

/** Bytes of `tables` for these names. */
export function bytesOfTables(inputs: InputBinding, names: ReadonlySet<string>): number {
  let words = 0;
  for (const name of names) {
    const input = inputOf(inputs.host, name);
    const tiled = tiledGraph(inputs, name);
    if (tiled) {
      const { boxes } = divideGraph(tiled);
      words += boxes.rowPtr.length + (1 + WORDS_OF_BOX) * boxes.colIdx.length;
    } else if (input === undefined) words += inputs.device.get(name)?.words ?? 0;
    else if (input.kind === 'table') words += input.data.length;
    else words += input.rowPtr.length + input.colIdx.length + (input.weight?.length ?? 0);
  }
  return 4 * words;
}

type Piece = Int32Array | Uint32Array | Float32Array | Uint8Array;
type Put = (data: Piece) => number;

/** The graph whose edges in dense boxes the name stands for. */
function tiledGraph({ host }: InputBinding, name: string): BoundGraph | undefined {
  const { graph, part } = partOf(name);
  const input = part === 'tiled' ? host.get(graph) : undefined;
  return input?.kind === 'graph' ? input : undefined;
}

/** Two for each of 64 rows. */
const WORDS_OF_BOX = 2 * TILE;

function putTiled(name: string, graph: BoundGraph, parts: Map<string, number>, put: Put): void {
  putGraph(name, divideGraph(graph).boxes, parts, put);
  parts.set(`${name}/bits`, put(boxBits(graph)));
}

function putTable(name: string, table: BoundTable, parts: Map<string, number>, put: Put): void {
  parts.set(`${name}/offset`, put(table.data));
  table.sizes.forEach((size, axis) => parts.set(`${name}/size.${axis}`, size));
}

function putGraph(name: string, graph: BoundGraph, parts: Map<string, number>, put: Put): void {
  parts.set(`${name}/row_ptr`, put(graph.rowPtr));
  parts.set(`${name}/col_idx`, put(graph.colIdx));
  if (graph.weight) parts.set(`${name}/weight`, put(graph.weight));
  for (const size of ['rows', 'cols', 'batches', 'heads'] as const) parts.set(`${name}/${size}`, graph[size]);
}

/** Parts of a pass are under `PASS/…`, those of all passes under their own names. */
export function planWords(
  shape: BoundShape,
  plans: readonly (PassPlan | undefined)[],
  gathers: readonly (GatherPlan | undefined)[] = [],
): Words {
  const parts = new Map<string, number>();
  const pieces: Piece[] = [];
  let used = 0;
  const put = (data: Piece): number => {
    const at = used;
    pieces.push(data);
    used += data.length;
    return at;
  };
  const { queries } = shape.part ?? shape;
  const lengths = shape.queries.flatMap((rows, b) => [queries[b], shape.keys[b], rows, baseOf(shape, b)]);
  parts.set('lengths', put(Int32Array.from(lengths)));
  plans.forEach((plan, pass) => {
    if (!plan) return;
    const set = (part: string, value: number): void => void parts.set(`${pass}/${part}`, value);
    set('tiles', plan.tiles);
    set('classes', plan.classes);
    set('by_batch', plan.byBatch ? 1 : 0);
    set('by_head', plan.byHead ? 1 : 0);
    set('offsets', put(plan.offsets));
    set('runs', put(plan.runs));
    plan.lists.forEach((list, n) => {
      set(`list.${n}.offsets`, put(list.offsets));
      set(`list.${n}.values`, put(list.values));
    });
  });
  gathers.forEach((plan, pass) => {
    if (plan) gatherWords(plan, (part, value) => void parts.set(`${pass}/${part}`, value), put);
  });
  return { words: join(pieces, used), parts };
}

function join(pieces: readonly Piece[], length: number): Uint32Array {
  const words = new Uint32Array(length);
  let at = 0;
  for (const piece of pieces) {
    // Bits as they are; bytes (bools) widen to words.
    const view =
      piece instanceof Uint8Array ? piece : new Uint32Array(piece.buffer, piece.byteOffset, piece.length);
    words.set(view, at);
    at += piece.length;
  }
  return words;
}
