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

const THREADS = 128;
/** Parts that a thread reads together: one after the other, each would wait for memory. */
const AT_ONCE = 4;

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
  const store = `store_row(own, i, top, total_of_parts(), ${merge ? 'is_poisoned, before' : 'is_poisoned'}, column, sum);`;
  const each = (line: (n: number) => string): readonly string[] => lines(AT_ONCE, line);
  const weight = (n: number): string => `exp(found_${n}.x - top)`;
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
      let at = find_place(number);
      let r = line % ${rows};
      ${row}
      if (i < 0) {
        return;
      }
      ${merge ? '// All threads have read lse before one of them writes it: barriers follow.\nlet before = lse_before(own, i);' : ''}
      // Where the first part of the row stands, and how far it is to the next.
      let first = line * ${width + 1}u;
      let step = place_count() * ${rows} * ${width + 1}u;
      var highest = LOWEST;
      var poison = 0.0;
      for (var split = thread; split < ${splits}; split += ${THREADS}u) {
        let found = ${parts}[first + split * step + ${width}u];
        highest = max(highest, found.x);
        poison = max(poison, found.z);
      }
      let statistics = highest_of_all(vec4<f32>(highest, poison, 0.0, 0.0), thread);
      let top = statistics.x;
      let is_poisoned = statistics.y != 0.0;
      let column = thread % ${columns}u;
      var total = 0.0;
      var sum = vec4<f32>();
      if (column < ${width}u) {
        for (var split = thread / ${columns}u; split < ${splits}; split += ${AT_ONCE * turns}u) {
          // Past the last part the last one again, which then has no weight.
          ${each((n) => `let part_${n} = first + ${n === 0 ? 'split' : `min(split + ${n * turns}u, ${splits} - 1u)`} * step;`)}
          ${each((n) => `let found_${n} = ${parts}[part_${n} + ${width}u];`)}
          ${each((n) => `let sum_${n} = ${parts}[part_${n} + column];`)}
          ${each((n) => `let weight_${n} = ${n === 0 ? weight(n) : `select(0.0, ${weight(n)}, split + ${n * turns}u < ${splits})`};`)}
          ${each((n) => `total += found_${n}.y * weight_${n};\nsum += sum_${n} * weight_${n};`)}
        }
      }
      sums[thread] = sum;
      if (column == 0u) {
        totals[thread / ${columns}u] = total;
      }
      workgroupBarrier();
      if (thread >= ${width}u) {
        return;
      }
      for (var n = 1u; n < ${turns}u; n++) {
        sum += sums[thread + ${columns}u * n];
      }
      ${store}
    }`;
  const body = [
    SPECIAL_VALUES,
    wgsl`
    // What threads found over some of the parts: the highest score and poison; later sums of a column, and totals.
    var<workgroup> sums: array<vec4<f32>, ${THREADS}>;
    var<workgroup> totals: array<f32, ${turns}>;`,
    ...place,
    main,
    wgsl`
    // The highest of each component over all threads.
    fn highest_of_all(own: vec4<f32>, thread: u32) -> vec4<f32> {
      sums[thread] = own;
      for (var half = ${THREADS / 2}u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread < half) {
          sums[thread] = max(sums[thread], sums[thread + half]);
        }
      }
      return workgroupUniformLoad(&sums[0]);
    }
    fn total_of_parts() -> f32 {
      var total = 0.0;
      for (var n = 0u; n < ${turns}u; n++) {
        total += totals[n];
      }
      return total;
    }`,
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
