import { emitPlace, mainStart, rowStart } from './place.js';
import { createShader, type Shader } from './shader.js';
import { emitSinkFactor, SPECIAL_VALUES } from './store.js';
import type { Target } from './target.js';
import { comment, wgsl } from './wgsl.js';

/** Kernels over all rows: `initialise` before passes that merge, `sink` after them. */

const THREADS = 64;
/** Query rows of a workgroup. */
export const ROWS = 16;

interface Emitted {
  readonly text: string;
  readonly shader: Shader;
  readonly threads: number;
}

/** out = 0, lse = −∞. */
export function emitInitialise(target: Target, name: string): Emitted {
  const shader = createShader(target);
  const set = (out: string, lse: string, row: string, column: string): string => wgsl`
    ${out}[${rowStart(shader, 'out', row)} + ${column}] = write_out(vec4<f32>());
    if (${column} == 0u) {
      ${lse}[${rowStart(shader, 'lse', row)}] = NEGATIVE_INFINITY_BITS;
    }`;
  const place = emitPlace(shader, target, { by: 'rows', rows: ROWS, split: false, tensors: ['out', 'lse'] });
  const [out, lse] = [shader.bind('out', 'read_write'), shader.bind('lse', 'read_write')];
  const main = overRows(target, set(out, lse, 'row', 'column'));
  return {
    text: shader.finish(comment(`${name}: rows without an edge give out = 0 and lse = -infinity.`), [
      SPECIAL_VALUES,
      ...place,
      main,
    ]),
    shader,
    threads: THREADS,
  };
}

/** Multiplies out by what the sink leaves of each row; lse stays. */
export function emitSinkKernel(target: Target, name: string): Emitted {
  const shader = createShader(target);
  const place = emitPlace(shader, target, { by: 'rows', rows: ROWS, split: false, tensors: ['out', 'lse'] });
  const [out, lse] = [shader.bind('out', 'read_write'), shader.bind('lse')];
  const main = overRows(
    target,
    wgsl`
    let bits = ${lse}[${rowStart(shader, 'lse', 'row')}];
    // Nothing to do where there is no edge, or NaN.
    if ((bits & INFINITY_BITS) != INFINITY_BITS) {
      let i = at.first + i32(row);
      let at_out = ${rowStart(shader, 'out', 'row')} + column;
      ${out}[at_out] = write_out(read_out(${out}[at_out]) * sink_factor(at, i, bitcast<f32>(bits)));
    }`,
  );
  return {
    text: shader.finish(comment(`${name}: the sink adds to the denominator of out, once.`), [
      SPECIAL_VALUES,
      ...place,
      main,
      emitSinkFactor(shader, target),
    ]),
    shader,
    threads: THREADS,
  };
}

function overRows(target: Target, body: string): string {
  const { head, start } = mainStart(THREADS);
  const width = target.valueDim / 4;
  return wgsl`
    ${head}
      ${start}
      for (var n = thread; n < ${ROWS * width}u; n += ${THREADS}u) {
        let row = ${ROWS}u * at.tile + n / ${width}u;
        let column = n % ${width}u;
        if (i32(row) < at.rows) {
          ${body}
        }
      }
    }`;
}
