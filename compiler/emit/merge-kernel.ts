import type { TilePass } from '../ir/schedule.js';
import { emitPlace, mainStart } from './place.js';
import { createShader, type Shader } from './shader.js';
import { emitSpace, QUERY_SPACE } from './spaces.js';
import { emitReadBefore, emitStore, SPECIAL_VALUES } from './store.js';
import type { Target } from './target.js';
import { comment, lines, wgsl } from './wgsl.js';

/** Puts together the parts that a decoding kernel leaves: one workgroup for each query tile, 16 threads a row. */

export interface MergeKernelOptions {
  readonly name: string;
  readonly rows: number;
  readonly merge: boolean;
  readonly sink: boolean;
}

export function emitMergeKernel(
  target: Target,
  pass: TilePass,
  options: MergeKernelOptions,
): { readonly text: string; readonly shader: Shader; readonly threads: number } {
  const shader = createShader();
  const threads = 16 * options.rows;
  const tensors = ['out', 'lse'] as const;
  const place = emitPlace(shader, target, { by: 'tiles', rows: options.rows, split: false, tensors });
  const parts = shader.bind('parts');
  const splits = shader.uniform('splits', 'u32', { kind: 'shape', name: 'splits' });
  const width = target.valueDim / 4;
  const columns = Math.ceil(width / 16);
  const { head, start } = mainStart(threads);
  const fits = (n: number): boolean => 16 * (n + 1) <= width;
  const add = (n: number): string => {
    const column = n === 0 ? 'x' : `x + ${16 * n}u`;
    const line = `sums_${n} += ${parts}[part + ${column}] * weight;`;
    return fits(n)
      ? line
      : wgsl`
        if (${column} < ${width}u) {
          ${line}
        }`;
  };
  const sums = lines(columns, (n) => `sums_${n}`).join(', ');
  const main = wgsl`
    ${head}
      ${start}
      let x = thread & 15u;
      let y = thread >> 4u;
      let i = query_position(at, i32(at.tile), i32(y));
      // Where the first part of the row stands, and how far it is to the next.
      let first = (number * ${options.rows}u + y) * ${width + 1}u;
      let step = place_count() * ${options.rows * (width + 1)}u;
      var highest = LOWEST;
      var poisoned = false;
      ${options.merge ? 'var before = NEGATIVE_INFINITY_BITS;' : ''}
      if (i >= 0) {
        ${options.merge ? 'before = lse_before(at, i);' : ''}
        for (var split = 0u; split < ${splits}; split++) {
          let found = ${parts}[first + split * step + ${width}u];
          highest = max(highest, found.x);
          poisoned |= found.z != 0.0;
        }
      }
      ${options.merge ? '// All threads of a row have read lse before one of them writes it.\nworkgroupBarrier();' : ''}
      if (i < 0) {
        return;
      }
      var total = 0.0;
      ${lines(columns, (n) => `var sums_${n} = vec4<f32>();`)}
      for (var split = 0u; split < ${splits}; split++) {
        let part = first + split * step;
        let found = ${parts}[part + ${width}u];
        let weight = exp(found.x - highest);
        total += found.y * weight;
        ${lines(columns, add)}
      }
      store_row(at, i, highest, total, poisoned, ${options.merge ? 'before, ' : ''}x, ${sums});
    }`;
  const body = [
    SPECIAL_VALUES,
    ...place,
    main,
    ...emitSpace(shader, target, pass.queries, QUERY_SPACE, options.rows),
    ...(options.merge ? [emitReadBefore(shader)] : []),
    ...emitStore(shader, target, { merge: options.merge, sink: options.sink, columns, step: 16 }),
  ];
  const text = shader.finish(
    comment(`${options.name}: merges the parts of the keys that a decoding kernel made.`),
    body,
  );
  return { text, shader, threads };
}
