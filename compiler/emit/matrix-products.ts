import { resultType, SCORE_COLUMNS, type Chunk, type MatrixLayout } from './matrix-layout.js';
import { lines, wgsl } from './wgsl.js';

/** The two products of a tile. */

const rightType = (n: number, k: number): string => `subgroup_matrix_right<f16, ${n}, ${k}>`;
const leftType = ({ m, k }: MatrixLayout): string => `subgroup_matrix_left<f16, ${k}, ${m}>`;
const scoreType = ({ m }: MatrixLayout): string => `subgroup_matrix_result<f32, ${SCORE_COLUMNS}, ${m}>`;

/** The blocks of a subgroup, each by its number. */
export const allBlocks = ({ blocks }: MatrixLayout): readonly number[] =>
  Array.from({ length: blocks }, (_, b) => b);

/** scores = queries · keys, into `scoreC_B_T`; every matrix of keys serves all given blocks of the subgroup. */
export function scoreTile(layout: MatrixLayout, { tag, keysAt }: Chunk, blocks = allBlocks(layout)): string {
  const { scoreTiles, dimSteps, keyStride, k } = layout;
  const product = (d: number, t: number): string => {
    const at = t * SCORE_COLUMNS * keyStride + (d * k) / 8;
    return wgsl`
      {
        let keys = subgroupMatrixLoad<${rightType(SCORE_COLUMNS, k)}, col_major>(&staged, ${keysAt} + ${at}u, ${keyStride}u);
        ${blocks.map((b) => `score${tag}_${b}_${t} = subgroupMatrixMultiplyAccumulate(query_${b}_${d}, keys, score${tag}_${b}_${t});`)}
      }`;
  };
  return wgsl`
    ${blocks.map((b) => lines(scoreTiles, (t) => `var score${tag}_${b}_${t} = ${scoreType(layout)}(0.0);`).join('\n'))}
    ${lines(dimSteps, (d) => lines(scoreTiles, (t) => product(d, t)).join('\n'))}`;
}

/** Statements that put a block's scores into scratch space: matrix after matrix, each row after row. */
export function storeScores(layout: MatrixLayout, { tag }: Chunk, b: number): readonly string[] {
  const { scoreTiles, m, blockScratch } = layout;
  const size = (m * SCORE_COLUMNS) / 4;
  const stride = SCORE_COLUMNS / 4;
  return lines(
    scoreTiles,
    (t) =>
      `subgroupMatrixStore<row_major>(own, ${b * blockScratch + t * size}u, score${tag}_${b}_${t}, ${stride}u);`,
  );
}

/** results += weights · values. */
export function addValues(
  layout: MatrixLayout,
  { tag, valuesAt }: Chunk,
  blocks = allBlocks(layout),
): string {
  const { keySteps, valueColumns, valueStride, n, k } = layout;
  const product = (s: number, c: number): string => {
    const at = s * k * valueStride + (c * n) / 8;
    return wgsl`
      {
        let values = subgroupMatrixLoad<${rightType(n, k)}, row_major>(&staged, ${valuesAt} + ${at}u, ${valueStride}u);
        ${blocks.map((b) => `result_${b}_${c} = subgroupMatrixMultiplyAccumulate(weight${tag}_${b}_${s}, values, result_${b}_${c});`)}
      }`;
  };
  return wgsl`
    ${lines(keySteps, (s) => lines(valueColumns, (c) => product(s, c)).join('\n'))}`;
}

/** Statements that load a block's weights as matrices. */
export function loadWeights(layout: MatrixLayout, { tag }: Chunk, b: number): readonly string[] {
  return lines(layout.keySteps, (s) => {
    const at = `${b * layout.blockScratch + (s * layout.k) / 8}u`;
    return `let weight${tag}_${b}_${s} = subgroupMatrixLoad<${leftType(layout)}, row_major>(own, ${at}, ${layout.weightStride}u);`;
  });
}

/** Declares a block's results, all 0. */
export const declareResults = (layout: MatrixLayout, b: number): readonly string[] =>
  lines(layout.valueColumns, (c) => `var result_${b}_${c} = ${resultType(layout)}(0.0);`);
