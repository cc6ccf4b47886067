import { careOrLeave } from './matrix-care.js';
import { overSharers } from './matrix-softmax.js';
import { syncOf, type MatrixLayout } from './matrix-layout.js';
import type { Shader } from './shader.js';
import { lines, wgsl } from './wgsl.js';

/** The end of a matrix kernel: results from matrices to lanes, a look for NaN and infinity, and out to memory. */

/** Results of block b in the lane's own vec4s `sum_B_C`: columns x + sharers · c. */
function readResults(layout: MatrixLayout, b: number): string {
  const { valueColumns, n, chunk, sharers, resultStride, columns } = layout;
  const { sync } = syncOf(layout);
  const perPart = chunk / n;
  const perLane = chunk / 4 / sharers;
  const parts = Math.ceil(valueColumns / perPart);
  const share = (name: string): readonly string[] =>
    overSharers(layout, (other) => `${name} += subgroupShuffleXor(${name}, ${other});`);
  const shares = [...share(`total_${b}`), ...(layout.steady ? share(`edges_${b}`) : [])];
  return wgsl`
    ${shares}
    ${layout.steady ? `// An estimate says nothing of a row without edges.\nreference_${b} = select(FLOOR, reference_${b}, total_${b} > 0.0);` : ''}
    ${lines(parts, (part) => {
      const matrices = Array.from({ length: Math.min(perPart, valueColumns - part * perPart) }, (_, c) => c);
      const mine = Array.from({ length: Math.min(perLane, columns - part * perLane) }, (_, c) => c);
      return wgsl`
        ${matrices.map((c) => `subgroupMatrixStore<row_major>(own, ${(c * n) / 4}u, result_${b}_${part * perPart + c}, ${resultStride}u);`)}
        ${sync}
        ${mine.map((c) => `let sum_${b}_${part * perLane + c} = bitcast<vec4<f32>>((*own)[y * ${resultStride}u + x + ${sharers * c}u]);`)}
        ${sync}`;
    })}
    var bits_${b} = bitcast<u32>(total_${b}) & INFINITY_BITS;
    ${lines(columns, (c) => {
      const bits = `(bitcast<vec4<u32>>(sum_${b}_${c}) & vec4<u32>(INFINITY_BITS))`;
      return wgsl`
        {
          let bits = ${bits};
          bits_${b} = max(bits_${b}, max(max(bits.x, bits.y), max(bits.z, bits.w)));
        }`;
    })}`;
}

/** Whatever a lane found is known to all of its row. Without care nothing is looked for. */
const sharePoison = (layout: MatrixLayout, b: number): string =>
  layout.care === 'later'
    ? `const poison_${b} = 0u;`
    : wgsl`
      var poison_${b} = select(0u, 1u, poisoned_${b});
      ${overSharers(layout, (other) => `poison_${b} |= subgroupShuffleXor(poison_${b}, ${other});`)}`;

export function storeRows(shader: Shader, layout: MatrixLayout, merge: boolean): string {
  const { blocks, columns } = layout;
  const { sync } = syncOf(layout);
  const sums = (b: number): string => lines(columns, (c) => `sum_${b}_${c}`).join(', ');
  return wgsl`
    ${lines(blocks, (b) => readResults(layout, b))}
    ${careOrLeave(shader, layout)}
    ${lines(blocks, (b) => sharePoison(layout, b))}
    ${
      merge
        ? [
            '// Read by all lanes of a row before one of them writes.',
            ...lines(
              blocks,
              (b) =>
                wgsl`
              var before_${b} = NEGATIVE_INFINITY_BITS;
              if (row_${b} >= 0) {
                before_${b} = lse_before(end, row_${b});
              }`,
            ),
            sync,
          ]
        : ''
    }
    ${lines(
      blocks,
      (b) => wgsl`
      if (row_${b} >= 0) {
        store_row(end, row_${b}, reference_${b} * TO_LOG, total_${b}, poison_${b} != 0u, ${merge ? `before_${b}, ` : ''}x, ${sums(b)});
      }`,
    )}`;
}

/** Partial results, as the merging kernel reads them. */
export function storeParts(shader: Shader, layout: MatrixLayout): string {
  const { blocks, columns, sharers, rows, m } = layout;
  const parts = shader.bind('parts', 'read_write');
  const width = 2 * layout.valueWidth;
  const stores = (b: number): readonly string[] =>
    lines(columns, (c) => {
      const column = c === 0 ? 'x' : `x + ${sharers * c}u`;
      const line = `${parts}[part_${b} + ${column}] = sum_${b}_${c};`;
      return sharers * (c + 1) <= width ? line : `if (${column} < ${width}u) {\n  ${line}\n}`;
    });
  return wgsl`
    ${lines(blocks, (b) => readResults(layout, b))}
    ${careOrLeave(shader, layout)}
    ${lines(blocks, (b) => sharePoison(layout, b))}
    ${lines(
      blocks,
      (b) => wgsl`
      let part_${b} = (number * ${rows}u + first_row + ${b * m}u + y) * ${width + 1}u;
      ${stores(b)}
      if (x == 0u) {
        parts[part_${b} + ${width}u] = vec4<f32>(reference_${b} * TO_LOG, total_${b}, f32(poison_${b}), 0.0);
      }`,
    )}`;
}
