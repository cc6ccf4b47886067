import { loadWeights, storeScores } from './matrix-products.js';
import { syncOf, type MatrixLayout } from './matrix-layout.js';
import {
  findTop,
  overScores,
  readScores,
  scoreLets,
  weigh,
  writeWeights,
} from './matrix-softmax.js';
import { lines, wgsl } from './wgsl.js';

/**
 * Softmax without rescaling: weights are relative to an estimate of a row's highest score, made once. f16 holds weights
 * of 2^-14 to 2^16 to 11 bits, so the estimate may be off by far; the end of the kernel tells (`offReference`).
 */

/** Statements that estimate the references from the staged keys' scores, whether they are edges or not. */
export function estimateReferences(layout: MatrixLayout): string {
  const { sync } = syncOf(layout);
  return wgsl`
    ${lines(
      layout.blocks,
      (b) => wgsl`
      ${storeScores(layout, b)}
      ${sync}
      {
        ${scoreLets(layout)}
        ${readScores(layout)}
        ${findTop(layout)}
        reference_${b} = top + MARGIN;
      }
      ${b + 1 < layout.blocks ? sync : ''}`,
    )}`;
}

/** Statements from a block's scores to its weights. */
export function steadySoftmax(layout: MatrixLayout, b: number, places: boolean): string {
  const { sync } = syncOf(layout);
  const mask = overScores(
    layout,
    wgsl`
    let scores = mask_scores(at, segment, i_${b}, dots, first_key + column${places ? `, i_place_${b}` : ''});
    edges_${b} += dot(select(vec4<f32>(), vec4<f32>(1.0), scores > vec4<f32>(LOWEST)), vec4<f32>(1.0));`,
  );
  return wgsl`
    // Block ${b}: scores to weights.
    ${storeScores(layout, b)}
    ${sync}
    if (is_partial) {
      ${mask}
    } else {
      edges_${b} += ${(layout.chunk / layout.sharers).toFixed(1)};
    }
    {
      ${scoreLets(layout)}
      ${readScores(layout)}
      ${sync}
      ${weigh(layout, b)}
      peak_${b} = max(peak_${b}, sum);
      ${writeWeights(layout)}
    }
    ${sync}
    ${loadWeights(layout, b)}
    ${b + 1 < layout.blocks ? sync : ''}`;
}

/** Declares what tells in the end whether a block's references were off. */
export const declareWitnesses = (b: number): readonly string[] => [
  `// Of the lane's keys: the highest sum of weights at a time, and how many are edges.`,
  `var peak_${b} = 0.0;`,
  `var edges_${b} = 0.0;`,
];

/** Condition: weights of the row were too large for f16, or so small that it rounded them too roughly. */
export const offReference = (b: number): string =>
  `peak_${b} >= MOST || total_${b} < LEAST * edges_${b}`;

export const STEADY_CONSTANTS = wgsl`
  // Estimated references lie above a row's first scores: the first weights are at most two to the power of -MARGIN.
  const MARGIN = 8.0;
  // Past this f16 is infinite.
  const MOST = 65504.0;
  // f16 rounds what is below 2^-14 to multiples of 2^-24. If the weights of a row's edges are at least this on average,
  // that takes no more from their sum than f16's 11 bits do everywhere.
  const LEAST = ${2 ** -14};`;

/** `mask_scores`: dot products where there is an edge, LOWEST elsewhere. */
export function emitMaskScores(places: boolean): string {
  const given = places ? ', i_place' : '';
  return wgsl`
    // Scores of four pairs where they are edges, LOWEST elsewhere.
    fn mask_scores(at: Place, segment: u32, i: i32, dots: vec4<f32>, column: u32${places ? ', i_place: vec4<i32>' : ''}) -> vec4<f32> {
      let edges = vec4<bool>(
        is_edge(at, segment, i, column${given}),
        is_edge(at, segment, i, column + 1u${given}),
        is_edge(at, segment, i, column + 2u${given}),
        is_edge(at, segment, i, column + 3u${given}),
      );
      return select(vec4<f32>(LOWEST), dots, edges);
    }`;
}
