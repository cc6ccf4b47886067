import { allBlocks, loadWeights, scoreTile, storeScores } from './matrix-products.js';
import { chunkOf, syncOf, type Chunk, type MatrixLayout } from './matrix-layout.js';
import {
  findTop,
  overScores,
  overSharers,
  readScores,
  scoreLets,
  weigh,
  writeWeights,
} from './matrix-softmax.js';
import { sideArguments, sideParameters, type SideFacts } from './side-facts.js';
import { floatLiteral, lines, wgsl } from './wgsl.js';

/**
 * Softmax without rescaling: weights are relative to an estimate of a row's highest score, made once. f16 holds weights
 * of 2^-14 to 2^16 to 11 bits, so the estimate may be off by far; the end of the kernel tells (`offReference`). By then
 * the highest score is known, and the tile is done once more, relative to that.
 */

/**
 * Statements that estimate the references from scores of staged keys, whether they are edges or not: of all of them where
 * rows are long, of the first chunk where more would be felt.
 * @param most WGSL of how many keys there may be, if known
 */
export function estimateReferences(layout: MatrixLayout, most: string | undefined): string {
  const { retries, blocks, keys, chunk } = layout;
  const { sync } = syncOf(layout);
  const isLess = retries && most !== undefined;
  const count = retries ? keys / chunk : 1;
  const each = allBlocks(layout);
  const look = (own: Chunk, b: number): string => wgsl`
    ${storeScores(layout, own, b)}
    ${sync}
    {
      ${scoreLets(layout)}
      ${readScores(layout, b)}
      ${findTop(layout, b)}
      ${isLess ? sumRelativeToTop(layout, b) : `first_top_${b} = max(first_top_${b}, top);`}
    }`;
  const margin = isLess
    ? (b: number): string => `select(MARGIN, less, all_${b} < ${floatLiteral(ALONE)})`
    : () => 'MARGIN';
  const estimate = (b: number): string => `first_top_${b} + ${margin(b)}`;
  return wgsl`
    ${isLess ? `let less = min(MARGIN, ${MARGIN_OF_ONE} - log2(f32(${most})));` : ''}
    ${each.map((b) => `var first_top_${b} = FLOOR;`)}
    ${isLess ? each.map((b) => `var all_${b} = 0.0;`) : ''}
    ${lines(count, (c) => {
      const own = chunkOf(layout, c);
      const between = (b: number): string => (c + 1 < count || b + 1 < blocks ? sync : '');
      return [scoreTile(layout, own), ...each.map((b) => `${look(own, b)}\n${between(b)}`)].join('\n');
    })}
    ${each.map((b) => `reference_${b} = ${retries ? `select(${estimate(b)}, reference_${b}, again)` : estimate(b)};`)}`;
}

/** Statements that bring `first_top_B` and `all_B`, the weights of the row's scores relative to that, up to date. */
function sumRelativeToTop(layout: MatrixLayout, b: number): string {
  const weights = lines(2 * layout.pairs, (q) => `exp2(TO_LOG2 * s_${b}_${q} - vec4<f32>(higher))`);
  return wgsl`
    let higher = max(first_top_${b}, top);
    let weights = ${weights.join(' + ')};
    var all = (weights.x + weights.y) + (weights.z + weights.w);
    ${overSharers(layout, (other) => `all += subgroupShuffleXor(all, ${other});`)}
    all_${b} = all_${b} * exp2(first_top_${b} - higher) + all;
    first_top_${b} = higher;`;
}

/** How scores are masked: what masks are told, and whether in registers. */
export interface Masking {
  readonly facts: SideFacts;
  /** For short rules: the text comes for every four scores, but they need not go to memory and back. */
  readonly inPlace: boolean;
  /** Are masks told of the line that the keys lie on, as `present`? */
  readonly isLine: boolean;
}

/**
 * Statements from a chunk's scores, in scratch space, to its weights as matrices. All blocks' lie side by side there, and
 * what is to be done for one fills the waits of another.
 * @param edges whether all pairs are edges, or those that masks say if `is_partial`
 */
export function steadySoftmax(
  layout: MatrixLayout,
  chunk: Chunk,
  edges: 'all' | 'if partial',
  masking: Masking,
): string {
  const { sync } = syncOf(layout);
  const { inPlace } = masking;
  const blocks = allBlocks(layout);
  const all = blocks.map((b) => `edges_${b} += ${(layout.chunk / layout.sharers).toFixed(1)};`);
  const masked = (): string => wgsl`
    if (is_partial) {
      ${inPlace ? maskInPlace(layout, chunk, masking) : maskThere(layout, chunk, masking)}
    } else {
      ${all}
    }`;
  const mask = edges === 'all' ? all.join('\n') : masked();
  return wgsl`
    ${inPlace ? '' : mask}
    {
      ${scoreLets(layout)}
      ${blocks.flatMap((b) => readScores(layout, b))}
      ${sync}
      ${inPlace ? mask : ''}
      ${blocks.flatMap((b) => [weigh(layout, b), `peak_${b} = max(peak_${b}, sum_${b});`])}
      ${blocks.map((b) => writeWeights(layout, b))}
    }
    ${sync}
    ${blocks.flatMap((b) => loadWeights(layout, chunk, b))}`;
}

/** `four_edges` of a row of block b, where `column` is counted from the chunk's first key. */
const fourEdges = (chunk: Chunk, { facts, isLine }: Masking, b: number, column: string): string =>
  `four_edges(at, segment, i_${b}, ${chunk.firstKey} + ${column}${isLine ? ', present' : ''}${sideArguments(facts, ['i'], b)})`;

/** Four edges for each four pairs that have one: as a bound from above. */
const countEdges = (b: number): string => `edges_${b} += select(0.0, 4.0, any(edges));`;

/** Rules may have taken lanes apart; what follows counts on lockstep. (Compilers cannot know that no lane says so.) */
const meet = ({ lone }: MatrixLayout, b: number): string =>
  lone ? `edges_${b} = select(edges_${b}, 0.0, subgroupAny(edges_${b} < 0.0));` : '';

/** Masks the scores in scratch space. */
const maskThere = (layout: MatrixLayout, chunk: Chunk, masking: Masking): readonly string[] =>
  allBlocks(layout).flatMap((b) => [
    overScores(
      layout,
      b,
      wgsl`
        let edges = ${fourEdges(chunk, masking, b, 'column')};
        let scores = select(vec4<f32>(LOWEST), dots, edges);
        ${countEdges(b)}`,
    ),
    meet(layout, b),
  ]);

/** Masks the scores that were read. */
function maskInPlace(layout: MatrixLayout, chunk: Chunk, masking: Masking): readonly string[] {
  const { pairs, sharers } = layout;
  const column = (q: number): string => {
    const tile = sharers === 1 ? `${q >> 1}u` : `(x + ${sharers * (q >> 1)}u)`;
    return `8u * ${tile} + 4u * ${q & 1 ? '(1u - half)' : 'half'}`;
  };
  return allBlocks(layout).flatMap((b) => [
    ...lines(2 * pairs, (q) => {
      const scores = `s_${b}_${q}`;
      return wgsl`
        {
          let edges = ${fourEdges(chunk, masking, b, column(q))};
          ${scores} = select(vec4<f32>(LOWEST), ${scores}, edges);
          ${countEdges(b)}
        }`;
    }),
    meet(layout, b),
  ]);
}

/** Declares what tells in the end whether a block's references were off. */
export const declareWitnesses = (b: number): readonly string[] => [
  `// Of the lane's keys: the highest sum of weights at a time, and how many are edges, at most.`,
  `var peak_${b} = 0.0;`,
  `var edges_${b} = 0.0;`,
];

/** Condition: weights of the row were too large for f16, or so small that it rounded them too roughly. */
export const offReference = (b: number): string => `peak_${b} >= MOST || total_${b} < LEAST * edges_${b}`;

/** Condition: what has been found tells a better reference. (f32 holds weights 2^127 above an estimate.) */
export const tellsReference = (b: number): string =>
  `(bitcast<u32>(total_${b}) & INFINITY_BITS) != INFINITY_BITS && peak_${b} > 1e-30`;

/** A statement that takes it: the highest sum of a lane's weights at a time is 2^14 then. */
export const correctReference = (b: number): string =>
  `reference_${b} = select(reference_${b}, reference_${b} + log2(peak_${b}) - 14.0, ${tellsReference(b)});`;

/**
 * In powers of two, how far estimated references lie above a row's first scores. Scores may rise 16 + MARGIN above those
 * before f16 is infinite, as scattered ones do; where they don't, a row of N keys is let pass if all its weights together
 * are 2^MARGIN · LEAST · N of the largest. Where one of the first keys has nearly all the weight (a sink, as in most rows of
 * language models), that is one of them: so where one of the first scores stands ALONE, the margin of many keys is less.
 */
export const MARGIN = 2;

/** The margin of a row of one key that has all the weight, with one power of two to spare: less log2 of the keys. */
const MARGIN_OF_ONE = '14.0';

/** The most that the first scores' weights add up to, relative to the highest, if it stands alone. */
const ALONE = 1 + 2 ** -6;

/** Past this f16 is infinite. */
export const MOST = 65504;

/**
 * f16 rounds what is below 2^-14 to multiples of 2^-24. If the weights of a row's edges are at least this on average, that
 * takes no more than 2^-10 from their sum: half of what results may be off by, with 2^-11 for all other roundings.
 */
export const LEAST = 2 ** -15;

export const STEADY_CONSTANTS = wgsl`
  // Estimated references lie above a row's first scores, by so many powers of two.
  const MARGIN = ${floatLiteral(MARGIN)};
  // Past this f16 is infinite.
  const MOST = ${floatLiteral(MOST)};
  // Where the weights of a row's edges are less than this on average, f16 rounds them too roughly.
  const LEAST = ${floatLiteral(LEAST)};`;

/** `four_edges`: which of four pairs of a row are edges. */
export function emitFourEdges(facts: SideFacts, isLine: boolean): string {
  const given = sideArguments(facts, ['i']);
  const each = [0, 1, 2, 3].map((n) => {
    const column = n === 0 ? 'column' : `column + ${n}u`;
    const key = isLine
      ? `first${n === 0 ? '' : ` + ${n} * line.y`}, ${n} < count`
      : `key_positions[${column}]`;
    return `is_edge(at, segment, i, ${column}, ${key}${given})`;
  });
  return wgsl`
    // Which of a row's pairs with four keys are edges?
    fn four_edges(at: Place, segment: u32, i: i32, column: u32${isLine ? ', line: vec3<i32>' : ''}${sideParameters(facts, 'i')}) -> vec4<bool> {
      ${isLine ? 'let first = line.x + line.y * i32(column);\nlet count = line.z - i32(column);' : ''}
      return vec4<bool>(
        ${each.join(',\n')},
      );
    }`;
}
