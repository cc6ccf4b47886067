import { walk, type Expr } from '../ir/expr.js';
import { loadWeights, storeScores } from './matrix-products.js';
import { syncOf, type MatrixLayout } from './matrix-layout.js';
import { findTop, overScores, readScores, scoreLets, weigh, writeWeights } from './matrix-softmax.js';
import { sideArguments, sideParameters, type SideFacts } from './side-facts.js';
import { floatLiteral, lines, wgsl } from './wgsl.js';

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

/** How scores are masked: what masks are told, and whether in registers. */
export interface Masking {
  readonly facts: SideFacts;
  /** For short rules: the text comes for every four scores, but they need not go to memory and back. */
  readonly inPlace: boolean;
}

/** Most operations of a rule that is tested in registers. */
const MOST_OPERATIONS = 40;

/** Are the rules short enough? Sampled keys and edges of graphs are searched for, in loops. */
export function masksInPlace(rules: readonly Expr[]): boolean {
  let count = 0;
  let searches = false;
  walk(rules, (e) => {
    count++;
    searches ||= ['sample', 'sample_at', 'edge', 'weight'].includes(e.op);
  });
  return !searches && count <= MOST_OPERATIONS;
}

/** Statements from a block's scores to its weights. */
export function steadySoftmax(layout: MatrixLayout, b: number, { facts, inPlace }: Masking): string {
  const { pairs, sharers } = layout;
  const { sync } = syncOf(layout);
  const masked = (scores: string, column: string): string =>
    `mask_scores(at, segment, i_${b}, ${scores}, first_key + ${column}${sideArguments(facts, ['i'], b)})`;
  const count = (scores: string): string =>
    `edges_${b} += dot(select(vec4<f32>(), vec4<f32>(1.0), ${scores} > vec4<f32>(LOWEST)), vec4<f32>(1.0));`;
  // Rules may have taken lanes apart; what follows counts on lockstep. (Compilers cannot know that no lane says so.)
  const meet = layout.lone ? `edges_${b} = select(edges_${b}, 0.0, subgroupAny(edges_${b} < 0.0));` : '';
  const all = `edges_${b} += ${(layout.chunk / sharers).toFixed(1)};`;
  const later = wgsl`
    if (is_partial) {
      ${overScores(layout, `let scores = ${masked('dots', 'column')};\n${count('scores')}`)}
      ${meet}
    } else {
      ${all}
    }`;
  const now = wgsl`
    if (is_partial) {
      ${lines(2 * pairs, (q) => {
        const tile = `8u * ${sharers === 1 ? `${q >> 1}u` : `(x + ${sharers * (q >> 1)}u)`}`;
        const column = `${tile} + 4u * ${q & 1 ? '(1u - half)' : 'half'}`;
        return `s_${q} = ${masked(`s_${q}`, column)};\n${count(`s_${q}`)}`;
      })}
      ${meet}
    } else {
      ${all}
    }`;
  return wgsl`
    // Block ${b}: scores to weights.
    ${storeScores(layout, b)}
    ${sync}
    ${inPlace ? '' : later}
    {
      ${scoreLets(layout)}
      ${readScores(layout)}
      ${sync}
      ${inPlace ? now : ''}
      ${weigh(layout, b)}
      peak_${b} = max(peak_${b}, sum);
      ${writeWeights(layout)}
    }
    ${sync}
    ${loadWeights(layout, b)}
    ${b + 1 < layout.blocks || layout.keys > layout.chunk ? sync : ''}`;
}

/** Declares what tells in the end whether a block's references were off. */
export const declareWitnesses = (b: number): readonly string[] => [
  `// Of the lane's keys: the highest sum of weights at a time, and how many are edges.`,
  `var peak_${b} = 0.0;`,
  `var edges_${b} = 0.0;`,
];

/** Condition: weights of the row were too large for f16, or so small that it rounded them too roughly. */
export const offReference = (b: number): string => `peak_${b} >= MOST || total_${b} < LEAST * edges_${b}`;

/**
 * In powers of two, how far estimated references lie above a row's first scores. Scores may rise 16 + MARGIN above those
 * before f16 is infinite, as scattered ones do; where they don't, a row of N keys is let pass if all its weights together
 * are 2^MARGIN · LEAST · N of the largest, which where a few keys have most of the weight (sinks) they may not be.
 */
export const MARGIN = 2;

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

/** `mask_scores`: dot products where there is an edge, LOWEST elsewhere. */
export function emitMaskScores(facts: SideFacts): string {
  const given = sideArguments(facts, ['i']);
  return wgsl`
    // Scores of four pairs where they are edges, LOWEST elsewhere.
    fn mask_scores(at: Place, segment: u32, i: i32, dots: vec4<f32>, column: u32${sideParameters(facts, 'i')}) -> vec4<f32> {
      let edges = vec4<bool>(
        is_edge(at, segment, i, column${given}),
        is_edge(at, segment, i, column + 1u${given}),
        is_edge(at, segment, i, column + 2u${given}),
        is_edge(at, segment, i, column + 3u${given}),
      );
      return select(vec4<f32>(LOWEST), dots, edges);
    }`;
}
