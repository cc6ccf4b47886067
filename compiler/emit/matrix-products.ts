import { resultType, type MatrixLayout } from './matrix-layout.js';
import { lines, wgsl } from './wgsl.js';

/** The two products of a tile. */

const rightType = ({ n, k }: MatrixLayout): string => `subgroup_matrix_right<f16, ${n}, ${k}>`;
const leftType = ({ m, k }: MatrixLayout): string => `subgroup_matrix_left<f16, ${k}, ${m}>`;

/** scores = queries · keys, into `score_B_N`; every matrix of keys serves all blocks of the subgroup. */
export function scoreTile(layout: MatrixLayout): string {
  const { blocks, keyColumns, dimSteps, keyStride, n, k } = layout;
  const product = (d: number, c: number): string => {
    const at = c * n * keyStride + (d * k) / 8;
    return wgsl`
      {
        let keys = subgroupMatrixLoad<${rightType(layout)}, col_major>(&staged, keys_at + ${at}u, ${keyStride}u);
        ${lines(blocks, (b) => `score_${b}_${c} = subgroupMatrixMultiplyAccumulate(query_${b}_${d}, keys, score_${b}_${c});`)}
      }`;
  };
  return wgsl`
    ${lines(blocks, (b) => lines(keyColumns, (c) => `var score_${b}_${c} = ${resultType(layout)}(0.0);`).join('\n'))}
    ${lines(dimSteps, (d) => lines(keyColumns, (c) => product(d, c)).join('\n'))}`;
}

/** results += weights · values. */
export function addValues(layout: MatrixLayout): string {
  const { blocks, keySteps, valueColumns, valueStride, n, k } = layout;
  const product = (s: number, c: number): string => {
    const at = s * k * valueStride + (c * n) / 8;
    return wgsl`
      {
        let values = subgroupMatrixLoad<${rightType(layout)}, row_major>(&staged, values_at + ${at}u, ${valueStride}u);
        ${lines(blocks, (b) => `result_${b}_${c} = subgroupMatrixMultiplyAccumulate(weight_${b}_${s}, values, result_${b}_${c});`)}
      }`;
  };
  return wgsl`
    ${lines(keySteps, (s) => lines(valueColumns, (c) => product(s, c)).join('\n'))}`;
}

/** Statements that load a block's weights as matrices. */
export function loadWeights(layout: MatrixLayout, b: number): readonly string[] {
  return lines(layout.keySteps, (s) => {
    const at = `${(s * layout.k) / 8}u`;
    return `let weight_${b}_${s} = subgroupMatrixLoad<${leftType(layout)}, row_major>(own, ${at}, ${layout.weightStride}u);`;
  });
}
