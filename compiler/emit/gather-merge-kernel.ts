import { emitPlace, mainStart } from './place.js';
import { createShader, type Shader } from './shader.js';
import { emitReadBefore, emitStore, SPECIAL_VALUES } from './store.js';
import type { Target } from './target.js';
import { comment, wgsl } from './wgsl.js';

/** Puts together the parts of long rows that a gather kernel leaves: one workgroup a row. */

export interface GatherMergeOptions {
  readonly name: string;
  readonly merge: boolean;
  readonly sink: boolean;
}

const THREADS = 64;

export function emitGatherMergeKernel(
  target: Target,
  options: GatherMergeOptions,
): { readonly text: string; readonly shader: Shader; readonly threads: number } {
  const shader = createShader(target);
  const { merge } = options;
  const place = emitPlace(shader, target, { by: 'rows', rows: 1, split: false, tensors: ['out', 'lse'] });
  const [plan, parts] = [shader.bind('plan'), shader.bind('parts')];
  const planned = (part: string): string => shader.uniform(part, 'u32', { kind: 'plan', part });
  const rows = shader.uniform('rows', 'u32', { kind: 'shape', name: 'rows' });
  const width = target.valueDim / 4;
  // Threads own a column each; groups of them take turns at the parts.
  const across = 2 ** Math.ceil(Math.log2(width));
  const groups = THREADS / across;
  const main = wgsl`
    ${mainStart(THREADS).head}
      let number = group.x + group.y * groups.x;
      if (number >= ${planned('repeats')} * ${planned('long_count')}) {
        return;
      }
      // Of the long row its number, its first part, the number of parts.
      let repeat = number / ${planned('long_count')};
      let entry = ${planned('long_rows')} + 3u * (number % ${planned('long_count')});
      let at = find_place(repeat * ${rows} + ${plan}[entry]);
      let i = at.first + i32(at.tile);
      let first = (repeat * ${planned('part_count')} + ${plan}[entry + 1u]) * ${width + 1}u;
      let count = ${plan}[entry + 2u];
      ${merge ? 'let before = lse_before(at, i);' : ''}
      var top = LOWEST;
      var poison = 0.0;
      for (var n = thread; n < count; n += ${THREADS}u) {
        let found = ${parts}[first + n * ${width + 1}u + ${width}u];
        top = max(top, found.x);
        poison = max(poison, found.z);
      }
      tops[thread] = top;
      poisons[thread] = poison;
      workgroupBarrier();
      for (var n = 0u; n < ${THREADS}u; n++) {
        top = max(top, tops[n]);
        poison = max(poison, poisons[n]);
      }
      let column = thread % ${across}u;
      var total = 0.0;
      var sum = vec4<f32>();
      for (var n = thread / ${across}u; n < count; n += ${groups}u) {
        let part = first + n * ${width + 1}u;
        let found = ${parts}[part + ${width}u];
        let weight = exp(found.x - top);
        total += found.y * weight;
        sum += ${parts}[part + min(column, ${width - 1}u)] * weight;
      }
      totals[thread] = total;
      sums[thread] = sum;
      workgroupBarrier();
      if (thread >= ${width}u) {
        return;
      }
      for (var n = thread + ${across}u; n < ${THREADS}u; n += ${across}u) {
        total += totals[n];
        sum += sums[n];
      }
      store_row(at, i, top, total, poison != 0.0, ${merge ? 'before, ' : ''}thread, sum);
    }`;
  const body = [
    SPECIAL_VALUES,
    wgsl`
    // Of every thread: the highest score and poison, the weights, the weighted values.
    var<workgroup> tops: array<f32, ${THREADS}>;
    var<workgroup> poisons: array<f32, ${THREADS}>;
    var<workgroup> totals: array<f32, ${THREADS}>;
    var<workgroup> sums: array<vec4<f32>, ${THREADS}>;`,
    ...place,
    main,
    ...(merge ? [emitReadBefore(shader)] : []),
    ...emitStore(shader, target, { merge, sink: options.sink, columns: 1, step: THREADS }),
  ];
  const text = shader.finish(
    comment(`${options.name}: merges the parts of long rows that a gather kernel made.`),
    body,
  );
  return { text, shader, threads: THREADS };
}
