import type { TilePass } from '../ir/schedule.js';
import { SET } from './decode-layout.js';
import { emitFindRow, packedQueries, packedSets } from './pack-rows.js';
import { emitPlace } from './place.js';
import { createShader, type Shader } from './shader.js';
import { emitSpace, QUERY_SPACE } from './spaces.js';
import { emitReadBefore, emitStore, SPECIAL_VALUES } from './store.js';
import type { Target } from './target.js';
import { comment, lines, wgsl } from './wgsl.js';

/**
 * Puts together the parts that a decoding kernel leaves: one workgroup a row, whose threads divide the parts among
 * themselves. There may be hundreds of parts and few rows.
 */

export interface MergeKernelOptions {
  readonly name: string;
  /** Rows that a decoding workgroup leaves; of packed ones the most. */
  readonly rows: number;
  readonly merge: boolean;
  readonly sink: boolean;
  /** After kernels whose workgroups take several heads (Kernel.pack). */
  readonly packed?: boolean;
}

const THREADS = 256;
/** Parts that a thread reads together: one after the other, each would wait for memory. */
const AT_ONCE = 8;

export function emitMergeKernel(
  target: Target,
  pass: TilePass,
  options: MergeKernelOptions,
): { readonly text: string; readonly shader: Shader; readonly threads: number } {
  const { packed = false, merge } = options;
  const shader = createShader(target);
  const tensors = ['out', 'lse'] as const;
  const place = emitPlace(shader, target, { by: 'tiles', rows: 0, split: false, packed, tensors });
  const parts = shader.bind('parts');
  const splits = shader.uniform('splits', 'u32', { kind: 'shape', name: 'splits' });
  const width = target.valueDim / 4;
  // Threads that take a part's columns together, and how many parts are read at once.
  const columns = 2 ** Math.ceil(Math.log2(width));
  const turns = THREADS / columns;
  const rows = packed ? `(${SET}u * ${packedSets(shader)})` : `${options.rows}u`;
  const coordinates = packed ? packedQueries(shader) : options.rows;
  const row = packed
    ? wgsl`
      let row = find_row(at, r);
      let own = row.place;
      let i = row.i;`
    : wgsl`
      let own = at;
      let i = query_position(at, i32(at.tile), i32(r));`;
  const store = `store_row(own, i, top, total, ${merge ? 'poison > 0.0, before' : 'poison > 0.0'}, thread, sum);`;
  const each = (line: (n: number) => string): readonly string[] => lines(AT_ONCE, line);
  // Past the last part the last one again, which then has no weight.
  const partAt = (n: number): string =>
    `first + ${n === 0 ? 'split' : `min(split + ${n * turns}u, ${splits} - 1u)`} * step`;
  const isPart = (n: number): string => `split + ${n * turns}u < ${splits}`;
  const main = wgsl`
    @compute @workgroup_size(${THREADS})
    fn main(
      @builtin(workgroup_id) group: vec3<u32>,
      @builtin(num_workgroups) groups: vec3<u32>,
      @builtin(local_invocation_index) thread: u32,
    ) {
      let line = group.x + group.y * groups.x;
      let number = line / ${rows};
      if (number >= place_count()) {
        return;
      }
      // Where the first part of the row stands, and how far it is to the next.
      let first = line * ${width + 1}u;
      let step = place_count() * ${rows} * ${width + 1}u;
      let turn = thread / ${columns}u;
      let column = min(thread % ${columns}u, ${width - 1}u);
      // The highest score comes first: relative to a part's own, sums of two parts could be past the range of f32.
      var top = LOWEST;
      var poison = 0.0;
      for (var split = turn; split < ${splits}; split += ${AT_ONCE * turns}u) {
        ${each((n) => `let found_${n} = ${parts}[${partAt(n)} + ${width}u];`)}
        ${each((n) => `top = max(top, found_${n}.x);\npoison = max(poison, found_${n}.z);`)}
      }
      if (thread % ${columns}u == 0u) {
        statistics[turn] = vec2<f32>(top, poison);
      }
      workgroupBarrier();
      for (var n = 0u; n < ${turns}u; n++) {
        top = max(top, statistics[n].x);
        poison = max(poison, statistics[n].y);
      }
      var total = 0.0;
      var sum = vec4<f32>();
      for (var split = turn; split < ${splits}; split += ${AT_ONCE * turns}u) {
        ${each((n) => `let part_${n} = ${partAt(n)};`)}
        ${each((n) => `let found_${n} = ${parts}[part_${n} + ${width}u];`)}
        ${each((n) => `let sum_${n} = ${parts}[part_${n} + column];`)}
        ${each((n) => `let weight_${n} = ${n === 0 ? 'exp(found_0.x - top)' : `select(0.0, exp(found_${n}.x - top), ${isPart(n)})`};`)}
        ${each((n) => `total += found_${n}.y * weight_${n};\nsum += sum_${n} * weight_${n};`)}
      }
      sums[thread] = sum;
      if (thread % ${columns}u == 0u) {
        totals[turn] = total;
      }
      // What the row is and where it goes is asked for last: parts are found without it.
      let at = find_place(number);
      let r = line % ${rows};
      ${row}
      ${merge ? '// All threads have read lse before one of them writes it. (Where there is no such row, that of another, for nothing.)\nlet before = lse_before(own, max(i, own.first));' : ''}
      ${merge ? 'storageBarrier();' : ''}
      workgroupBarrier();
      // Not all rows of a workgroup that decodes are there.
      if (thread >= ${width}u || i < 0) {
        return;
      }
      total = 0.0;
      sum = vec4<f32>();
      for (var n = 0u; n < ${turns}u; n++) {
        total += totals[n];
        sum += sums[thread + ${columns}u * n];
      }
      ${store}
    }`;
  const body = [
    SPECIAL_VALUES,
    wgsl`
    // What threads found over some of the parts: the highest score and poison; then totals, and sums of a column.
    var<workgroup> statistics: array<vec2<f32>, ${turns}>;
    var<workgroup> totals: array<f32, ${turns}>;
    var<workgroup> sums: array<vec4<f32>, ${THREADS}>;`,
    ...place,
    main,
    ...(packed ? [emitFindRow(shader, tensors)] : []),
    ...emitSpace(shader, target, pass.queries, QUERY_SPACE, coordinates),
    ...(merge ? [emitReadBefore(shader)] : []),
    ...emitStore(shader, target, { merge, sink: options.sink, columns: 1, step: THREADS }),
  ];
  const text = shader.finish(
    comment(`${options.name}: merges the parts of the keys that a decoding kernel made.`),
    body,
  );
  return { text, shader, threads: THREADS };
}
