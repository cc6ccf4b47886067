import { loadWeights, storeScores } from './matrix-products.js';
import { LOOP_CHUNK, resultType, syncOf, type MatrixLayout } from './matrix-layout.js';
import { isFlat, sideArguments, sideParameters, type SideFacts } from './side-facts.js';
import { lines, wgsl } from './wgsl.js';

/** Online softmax of a block of scores: matrices → scratch space → lanes → scratch space → matrices. */

/** Statements that combine what the lanes of a row have, by butterflies. */
export function overSharers(layout: MatrixLayout, op: (other: string) => string): readonly string[] {
  const out: string[] = [];
  for (let step = 1; step < layout.sharers; step *= 2) out.push(op(`${layout.m * step}u`));
  return out;
}

/**
 * Of the lane's scores number q (a vec4): place in scratch space, and first column. A lane has all 8 of its row in every
 * `sharers`-th matrix.
 */
function scorePlace(
  { m, sharers }: MatrixLayout,
  q: string,
): { readonly place: string; readonly column: string } {
  const tile = sharers === 1 ? `(${q} >> 1u)` : `(x + ${sharers}u * (${q} >> 1u))`;
  return {
    place: `${tile} * ${2 * m}u + 2u * y + (${q} & 1u)`,
    column: `8u * ${tile} + 4u * (${q} & 1u)`,
  };
}

/**
 * Statements that read the lane's scores into `s_B_0`, `s_B_1`, …: of every second four rows the halves of 8 columns change
 * places, so that no two lanes that read together meet in a bank. `swapped` says so, `half` is 0 or 1.
 */
export function readScores(layout: MatrixLayout, b: number): readonly string[] {
  const { pairs, m, sharers, blockScratch } = layout;
  return lines(pairs, (p) => {
    const line = `${b * blockScratch + sharers * p * 2 * m}u + line`;
    return wgsl`
      var s_${b}_${2 * p} = bitcast<vec4<f32>>((*own)[${line} + half]);
      var s_${b}_${2 * p + 1} = bitcast<vec4<f32>>((*own)[${line} + 1u - half]);`;
  });
}

/** Statements that `readScores` and `writeWeights` lean on. */
export const scoreLets = ({ m, sharers }: MatrixLayout): string => wgsl`
  let line = ${sharers === 1 ? '' : `x * ${2 * m}u + `}2u * y;
  let half = (y >> 2u) & 1u;
  let swapped = half != 0u;`;

/** Statements that turn `s_B_0`, … relative to the block's reference into weights, and add them up: to `sum_B`, and to the block's total. */
export function weigh(layout: MatrixLayout, b: number): string {
  const each = (line: (q: number) => string): readonly string[] => lines(2 * layout.pairs, line);
  return wgsl`
    ${each((q) => `s_${b}_${q} = exp2(fma(s_${b}_${q}, vec4<f32>(TO_LOG2), vec4<f32>(-reference_${b})));`)}
    let sums_${b} = ${each((q) => `s_${b}_${q}`).join(' + ')};
    let sum_${b} = (sums_${b}.x + sums_${b}.y) + (sums_${b}.z + sums_${b}.w);
    total_${b} += sum_${b};`;
}

/** Statements that put the lane's weights into scratch space as f16, 8 in a piece. */
export function writeWeights(layout: MatrixLayout, block: number): string {
  const { pairs, sharers, weightStride, blockScratch } = layout;
  const packed = (q: number): string =>
    `vec2<u32>(pack2x16float(s_${block}_${q}.xy), pack2x16float(s_${block}_${q}.zw))`;
  return wgsl`
    let weights_${block} = y * ${weightStride}u + x;
    ${lines(
      pairs,
      (p) => wgsl`
      {
        let a = ${packed(2 * p)};
        let b = ${packed(2 * p + 1)};
        (*own)[weights_${block} + ${block * blockScratch + sharers * p}u] = vec4<u32>(select(a, b, swapped), select(b, a, swapped));
      }`,
    )}`;
}

/** The highest of a row's scores, in powers of two, as `top`. */
export function findTop(layout: MatrixLayout, b: number): string {
  const tops = lines(2 * layout.pairs, (q) => `s_${b}_${q}`).reduce((a, c) => `max(${a}, ${c})`);
  return wgsl`
    let tops = ${tops};
    var top = TO_LOG2 * max(max(tops.x, tops.y), max(tops.z, tops.w));
    ${overSharers(layout, (other) => `top = max(top, subgroupShuffleXor(top, ${other}));`)}`;
}

/**
 * Statements over the lane's scores, where they lie in scratch space; in a loop, so that this costs no registers where
 * it isn't needed.
 */
export function overScores(layout: MatrixLayout, b: number, body: string): string {
  const { place, column } = scorePlace(layout, 'q');
  return wgsl`
    for (var q = 0u; q < ${2 * layout.pairs}u; q++) {
      let column = ${column};
      let place = ${b * layout.blockScratch}u + ${place};
      let dots = bitcast<vec4<f32>>((*own)[place]);
      ${body}
      (*own)[place] = bitcast<vec4<u32>>(scores);
    }`;
}

/** Statements from a block's scores to its weights. Blocks take turns with the scratch space: there is little of it. */
export function updateSoftmax(layout: MatrixLayout, b: number, hasScore: boolean, facts: SideFacts): string {
  const { sync } = syncOf(layout);
  const finish = overScores(
    layout,
    b,
    `let scores = finish_scores(at, segment, i_${b}, dots, first_key + column, is_partial, careful, &poisoned_${b}${sideArguments(facts, ['i'], b)});`,
  );
  return wgsl`
    // Block ${b}: scores to weights.
    ${storeScores(layout, LOOP_CHUNK, b)}
    ${sync}
    ${
      hasScore
        ? finish
        : wgsl`
          if (is_partial || careful) {
            ${finish}
          }`
    }
    {
      ${scoreLets(layout)}
      ${readScores(layout, b)}
      ${findTop(layout, b)}
      let grown = top > reference_${b} + SLACK;
      ${layout.lone ? '' : '// Waits until all lanes have their scores, too.'}
      ${rescale(layout, b)}
      ${weigh(layout, b)}
      ${writeWeights(layout, b)}
    }
    ${sync}
    ${loadWeights(layout, LOOP_CHUNK, b)}
    ${b + 1 < layout.blocks || layout.keys > layout.chunk ? sync : ''}`;
}

/** Moves the reference of rows whose highest score has grown, and brings their sums and results to it. */
function rescale(layout: MatrixLayout, b: number): string {
  const { valueColumns, n, resultStride, chunk, sharers } = layout;
  const { sync } = syncOf(layout);
  const perPart = chunk / n;
  const quads = chunk / 4 / sharers;
  const moveResults = lines(Math.ceil(valueColumns / perPart), (part) => {
    const count = Math.min(perPart, valueColumns - part * perPart);
    const used = Math.min(quads, Math.ceil((count * n) / 4 / sharers));
    const place = (c: number): string => `${(c * n) / 4}u`;
    const result = (c: number): string => `result_${b}_${part * perPart + c}`;
    return wgsl`
      ${lines(count, (c) => `subgroupMatrixStore<row_major>(own, ${place(c)}, ${result(c)}, ${resultStride}u);`)}
      ${sync}
      for (var q = 0u; q < ${used}u; q++) {
        let place = y * ${resultStride}u + x + ${sharers}u * q;
        (*own)[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>((*own)[place]) * shrink);
      }
      ${sync}
      ${lines(count, (c) => `${result(c)} = subgroupMatrixLoad<${resultType(layout)}, row_major>(own, ${place(c)}, ${resultStride}u);`)}
      ${sync}`;
  });
  const body = wgsl`
    let moved = select(reference_${b}, top, grown);
    let shrink = exp2(reference_${b} - moved);
    reference_${b} = moved;
    ${
      layout.lone
        ? wgsl`
          // Nothing is there to be moved at a row's first keys. (What shrinks to nothing is.)
          let is_begun = subgroupAny(total_${b} > 0.0);
          total_${b} *= shrink;
          if (is_begun) {
            ${moveResults}
          }`
        : wgsl`
          total_${b} *= shrink;
          ${moveResults}`
    }`;
  return layout.lone
    ? wgsl`
      if (subgroupAny(grown)) {
        ${body}
      }`
    : wgsl`
      if (grown) {
        atomicStore(&flags[RESCALE], 1u);
      }
      if (workgroupUniformLoad(&flags[RESCALE]) != 0u) {
        ${body}
      }`;
}

/**
 * `is_edge`, of a staged key: its number among them, and its position.
 * @param marked places say whether there is a key: masks of coordinates alone then need no positions
 * @param isLine it is told whether there is a key
 */
export function emitIsEdge(facts: SideFacts, marked: boolean, isLine: boolean): string {
  const isThere = isLine ? 'is_key' : facts.places && marked ? '(j_place.w >= 0)' : '(j >= 0)';
  return wgsl`
    fn is_edge(at: Place, segment: u32, i: i32, column: u32, j: i32${isLine ? ', is_key: bool' : ''}${sideParameters(facts, 'i')}) -> bool {
      ${facts.places ? 'let j_place = key_places[column];' : ''}
      ${facts.reads.j.length > 0 ? 'let j_reads = key_reads[column];' : ''}
      return ${isThere} ${isFlat(facts.reads.rules) ? '&' : '&&'} keep(at, segment, i, j${sideArguments(facts, ['i', 'j'])});
    }`;
}

/** `finish_scores`: from dot products to the pattern's own scores where there is an edge, LOWEST elsewhere. */
export function emitFinishScores(hasScore: boolean, facts: SideFacts): string {
  const given = sideArguments(facts, ['i']);
  const one = (c: string, n: number): string => `score(at, dots.${c}, i, key_positions[column + ${n}u])`;
  const scores = hasScore ? `vec4<f32>(${[...'xyzw'].map(one).join(', ')})` : 'dots';
  // f16 products cannot overflow: q or k is not finite. A score may hide that (softcap), or turn it into no weight.
  const keepNaN = wgsl`
    let dot_bits = bitcast<vec4<u32>>(dots);
    let lost = (dot_bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
    scores = select(scores, bitcast<vec4<f32>>(dot_bits | vec4<u32>(0x7fc00000u)), lost);`;
  const minusInfinity = hasScore ? ' & (bits != vec4<u32>(NEGATIVE_INFINITY_BITS))' : '';
  return wgsl`
    // Scores of four pairs where they are edges, LOWEST elsewhere. With care, what is not finite poisons the row.
    fn finish_scores(
      at: Place,
      segment: u32,
      i: i32,
      dots: vec4<f32>,
      column: u32,
      is_partial: bool,
      careful: bool,
      poisoned: ptr<function, bool>${sideParameters(facts, 'i')}
    ) -> vec4<f32> {
      ${hasScore ? 'var' : 'let'} scores = ${scores};
      ${hasScore ? keepNaN : ''}
      var edges = vec4<bool>(true);
      if (is_partial) {
        edges = vec4<bool>(
          is_edge(at, segment, i, column, key_positions[column]${given}),
          is_edge(at, segment, i, column + 1u, key_positions[column + 1u]${given}),
          is_edge(at, segment, i, column + 2u, key_positions[column + 2u]${given}),
          is_edge(at, segment, i, column + 3u, key_positions[column + 3u]${given}),
        );
      }
      if (careful) {
        let bits = bitcast<vec4<u32>>(scores);
        let bad = (bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
        let bad_keys = atomicLoad(&flags[column >> 5u]) >> (column & 31u);
        let bad_values = ((vec4<u32>(bad_keys) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) != vec4<u32>();
        if (any(edges & (bad_values | (bad${minusInfinity})))) {
          *poisoned = true;
        }
        edges = edges & !bad;
      }
      return select(vec4<f32>(LOWEST), scores, edges);
    }`;
}
