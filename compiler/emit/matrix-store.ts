import { careOrLeave } from './matrix-care.js';
import { allBlocks } from './matrix-products.js';
import { overSharers } from './matrix-softmax.js';
import { syncOf, type MatrixLayout } from './matrix-layout.js';
import { rowStart } from './place.js';
import type { Shader } from './shader.js';
import { writeQuad } from './store.js';
import { lines, wgsl } from './wgsl.js';

/**
 * The end of a matrix kernel: results from matrices to lanes, a look for NaN and infinity, and out to memory. Results
 * pass through scratch space as many columns at a time as fit (a *part*); lanes side by side then have quads of columns
 * side by side, and write them together.
 */

interface Part {
  readonly number: number;
  /** First matrix of results, and how many. */
  readonly first: number;
  readonly count: number;
}

const partsOf = ({ valueColumns, chunk, n }: MatrixLayout): readonly Part[] => {
  const most = chunk / n;
  return Array.from({ length: Math.ceil(valueColumns / most) }, (_, number) => ({
    number,
    first: number * most,
    count: Math.min(most, valueColumns - number * most),
  }));
};

/** Quads of a row of a part; of the last one some may not be there. */
const quadsOf = ({ chunk }: MatrixLayout): number => chunk / 4;

/** Quads of a block's part that a lane has: lane, lane + lanes, … , row after row. */
const shareOf = (layout: MatrixLayout): number => (layout.m * quadsOf(layout)) / layout.lanes;

/** Statements for each number of a lane's quads: `row_of_N`, its row of the block, and `column_N`, its column of the part. */
const places = (layout: MatrixLayout): readonly string[] =>
  lines(shareOf(layout), (q) => {
    const number = q === 0 ? 'lane' : `(lane + ${q * layout.lanes}u)`;
    return `let row_of_${q} = ${number} / ${quadsOf(layout)}u;\nlet column_${q} = ${number} % ${quadsOf(layout)}u;`;
  });

/** Sums up what the lanes of a row share, and reads the results of block b into the lane's quads `sum_B_PART_N`. */
function readResults(layout: MatrixLayout, b: number): string {
  const { n, resultStride } = layout;
  const { sync } = syncOf(layout);
  const share = (name: string): readonly string[] =>
    overSharers(layout, (other) => `${name} += subgroupShuffleXor(${name}, ${other});`);
  const highest = (name: string): readonly string[] =>
    overSharers(layout, (other) => `${name} = max(${name}, subgroupShuffleXor(${name}, ${other}));`);
  const shares = [
    ...share(`total_${b}`),
    ...(layout.steady ? share(`edges_${b}`) : []),
    ...(layout.retries ? highest(`peak_${b}`) : []),
  ];
  return wgsl`
    ${shares}
    ${layout.steady ? `// An estimate says nothing of a row without edges.\nreference_${b} = select(FLOOR, reference_${b}, total_${b} > 0.0);` : ''}
    ${lines(shareOf(layout), (q) => `let position_${b}_${q} = subgroupShuffle(row_${b}, row_of_${q});`)}
    // So that NaN and infinity are seen.
    var bits_${b} = select(0u, bitcast<u32>(total_${b}) & INFINITY_BITS, row_${b} >= 0);
    ${partsOf(layout).map(
      (part) => wgsl`
      ${lines(part.count, (c) => `subgroupMatrixStore<row_major>(own, ${(c * n) / 4}u, result_${b}_${part.first + c}, ${resultStride}u);`)}
      ${sync}
      ${lines(shareOf(layout), (q) => {
        const name = `sum_${b}_${part.number}_${q}`;
        return wgsl`
          let ${name} = bitcast<vec4<f32>>((*own)[row_of_${q} * ${resultStride}u + column_${q}]);
          bits_${b} = max(bits_${b}, select(0u, highest_bits(${name}), ${isThere(layout, part, b, q)}));`;
      })}
      ${sync}`,
    )}`;
}

/** Conditions: there is such a row, and such a column of its results. */
function isThere(layout: MatrixLayout, part: Part, b: number, q: number): string {
  return [`position_${b}_${q} >= 0`, ...isColumn(layout, part, q)].join(' && ');
}

function isColumn(layout: MatrixLayout, part: Part, q: number): readonly string[] {
  const width = 2 * layout.valueWidth;
  const first = part.number * quadsOf(layout);
  return first + quadsOf(layout) <= width ? [] : [`column_${q} < ${width - first}u`];
}

/** `highest_bits`, of four numbers: INFINITY_BITS if any is NaN or infinite. */
export const HIGHEST_BITS = wgsl`
  // The highest exponent, where it stands in the bits.
  fn highest_bits(x: vec4<f32>) -> u32 {
    let bits = bitcast<vec4<u32>>(x) & vec4<u32>(INFINITY_BITS);
    return max(max(bits.x, bits.y), max(bits.z, bits.w));
  }`;

/** Whatever a lane found is known to all of its row. Without care nothing is looked for. */
const sharePoison = (layout: MatrixLayout, b: number): string =>
  layout.care === 'later'
    ? `const poison_${b} = 0u;`
    : wgsl`
      var poison_${b} = select(0u, 1u, poisoned_${b});
      ${overSharers(layout, (other) => `poison_${b} |= subgroupShuffleXor(poison_${b}, ${other});`)}`;

const readAll = (shader: Shader, layout: MatrixLayout, one: string): string => wgsl`
  ${places(layout)}
  ${allBlocks(layout).map((b) => readResults(layout, b))}
  ${careOrLeave(shader, layout, one)}
  ${allBlocks(layout).map((b) => sharePoison(layout, b))}`;

/** Statements that write the lane's quads of a block, by number and part. */
const eachQuad = (
  layout: MatrixLayout,
  before: (q: number) => string,
  write: (q: number, part: Part) => string,
): readonly string[] =>
  lines(
    shareOf(layout),
    (q) => wgsl`
    {
      ${before(q)}
      ${partsOf(layout).map((part) => {
        const conditions = isColumn(layout, part, q);
        return conditions.length === 0
          ? write(q, part)
          : wgsl`
            if (${conditions.join(' && ')}) {
              ${write(q, part)}
            }`;
      })}
    }`,
  );

/** @param one a uniform that is 1 */
export function storeRows(shader: Shader, layout: MatrixLayout, merge: boolean, one: string): string {
  const { sync } = syncOf(layout);
  const blocks = allBlocks(layout);
  const lse = shader.bind('lse', 'read_write');
  const row = (position: string): string => `u32(${position} - end.first)`;
  const start = (tensor: 'out' | 'lse', position: string): string =>
    rowStart(shader, tensor, row(position)).replaceAll('at.', 'end.');
  const before = (b: number): string =>
    `let before_${b} = select(NEGATIVE_INFINITY_BITS, lse_before(end, max(row_${b}, end.first)), row_${b} >= 0);`;
  const share = (b: number, q: number): string => wgsl`
    let share_${b}_${q} = subgroupShuffle(of_row_${b}.share, row_of_${q});
    ${merge ? `let old_share_${b}_${q} = subgroupShuffle(of_row_${b}.old_share, row_of_${q});` : ''}
    let is_nan_${b}_${q} = subgroupShuffle(u32(of_row_${b}.is_nan), row_of_${q}) != 0u;`;
  return wgsl`
    ${readAll(shader, layout, one)}
    ${merge ? ['// Read by all lanes of a row before one of them writes.', ...blocks.map(before), sync] : ''}
    ${blocks.map((b) => `let of_row_${b} = mix_row(end, max(row_${b}, end.first), reference_${b} * TO_LOG, total_${b}, poison_${b} != 0u${merge ? `, before_${b}` : ''});`)}
    // Told to the lanes that have a row's quads before writing takes lanes apart.
    ${blocks.map((b) => lines(shareOf(layout), (q) => share(b, q)).join('\n'))}
    ${blocks.map(
      (b) => wgsl`
      if (row_${b} >= 0 && x == 0u) {
        ${lse}[${start('lse', `row_${b}`)}] = lse_bits(of_row_${b});
      }
      ${eachQuad(
        layout,
        (q) => `let start = ${start('out', `position_${b}_${q}`)} + column_${q};`,
        (q, part) => wgsl`
          if (position_${b}_${q} >= 0) {
            ${writeQuad(
              shader,
              { merge },
              {
                at: `start + ${part.number * quadsOf(layout)}u`,
                sums: `sum_${b}_${part.number}_${q}`,
                share: `share_${b}_${q}`,
                oldShare: `old_share_${b}_${q}`,
                isNaN: `is_nan_${b}_${q}`,
              },
            )}
          }`,
      )}`,
    )}`;
}

/** Partial results, as the merging kernel reads them. */
export function storeParts(shader: Shader, layout: MatrixLayout, one: string): string {
  const { rows, m } = layout;
  const parts = shader.bind('parts', 'read_write');
  const width = 2 * layout.valueWidth;
  const start = (b: number, row: string): string =>
    `(number * ${rows}u + first_row + ${b * m}u + ${row}) * ${width + 1}u`;
  return wgsl`
    ${readAll(shader, layout, one)}
    ${allBlocks(layout).map(
      (b) => wgsl`
      ${eachQuad(
        layout,
        (q) => `let start = ${start(b, `row_of_${q}`)} + column_${q};`,
        (q, part) => `${parts}[start + ${part.number * quadsOf(layout)}u] = sum_${b}_${part.number}_${q};`,
      )}
      if (x == 0u) {
        parts[${start(b, 'y')} + ${width}u] = vec4<f32>(reference_${b} * TO_LOG, total_${b}, f32(poison_${b}), 0.0);
      }`,
    )}`;
}
