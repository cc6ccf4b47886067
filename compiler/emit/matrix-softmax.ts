import { loadWeights } from './matrix-products.js';
import { resultType, syncOf, type MatrixLayout } from './matrix-layout.js';
import { lines, wgsl } from './wgsl.js';

/** Online softmax of a block of scores: matrices → scratch space → lanes → scratch space → matrices. */

/** vec4 number q of a lane's scores: its place in the row, in vec4s, without the lane's own part. */
const quadAt = (layout: MatrixLayout, q: number): number => 2 * layout.sharers * (q >> 1) + (q & 1);

/** Statements that combine what the lanes of a row have, by butterflies. */
export function overSharers(layout: MatrixLayout, op: (other: string) => string): readonly string[] {
  const out: string[] = [];
  for (let step = 1; step < layout.sharers; step *= 2) out.push(op(`${layout.m * step}u`));
  return out;
}

/** Statements from a block's scores to its weights. Blocks take turns with the scratch space: there is little of it. */
export function updateSoftmax(layout: MatrixLayout, b: number, hasScore: boolean, places: boolean): string {
  const { keyColumns, n, scoreStride, weightStride, pairs, sharers } = layout;
  const { sync } = syncOf(layout);
  const quads = 2 * pairs;
  const each = (line: (q: number) => string): readonly string[] => lines(quads, line);
  // In place and in a loop, so that this costs no registers where it isn't needed.
  const finish = wgsl`
    for (var q = 0u; q < ${quads}u; q++) {
      let column = 2u * (${sharers > 1 ? `${sharers}u * ` : ''}(q >> 1u) + x) + (q & 1u);
      let place = y * ${scoreStride}u + column;
      let dots = bitcast<vec4<f32>>((*own)[place]);
      let scores = finish_scores(at, segment, i_${b}, dots, first_key + 4u * column, is_partial, careful, &poisoned_${b}${places ? `, i_place_${b}` : ''});
      (*own)[place] = bitcast<vec4<u32>>(scores);
    }`;
  const tops = each((q) => `s_${q}`).reduce((a, c) => `max(${a}, ${c})`);
  const half = (q: number): string => `pack2x16float(s_${q}.xy), pack2x16float(s_${q}.zw)`;
  return wgsl`
    // Block ${b}: scores to weights.
    ${lines(keyColumns, (c) => `subgroupMatrixStore<row_major>(own, ${(c * n) / 4}u, score_${b}_${c}, ${scoreStride}u);`)}
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
      let line = y * ${scoreStride}u + 2u * x;
      ${each((q) => `var s_${q} = bitcast<vec4<f32>>((*own)[line + ${quadAt(layout, q)}u]);`)}
      let tops = ${tops};
      var top = TO_LOG2 * max(max(tops.x, tops.y), max(tops.z, tops.w));
      ${overSharers(layout, (other) => `top = max(top, subgroupShuffleXor(top, ${other}));`)}
      let grown = top > reference_${b} + SLACK;
      ${layout.lone ? '' : '// Waits until all lanes have their scores, too.'}
      ${rescale(layout, b)}
      ${each((q) => `s_${q} = exp2(s_${q} * TO_LOG2 - reference_${b});`)}
      let sums = ${each((q) => `s_${q}`).join(' + ')};
      total_${b} += (sums.x + sums.y) + (sums.z + sums.w);
      let weights = y * ${weightStride}u + x;
      ${lines(pairs, (p) => `(*own)[weights + ${sharers * p}u] = vec4<u32>(${half(2 * p)}, ${half(2 * p + 1)});`)}
    }
    ${sync}
    ${loadWeights(layout, b)}
    ${b + 1 < layout.blocks ? sync : ''}`;
}

/** Moves the reference of rows whose highest score has grown, and brings their sums and results to it. */
function rescale(layout: MatrixLayout, b: number): string {
  const { valueColumns, n, scoreStride, chunk, sharers } = layout;
  const { sync } = syncOf(layout);
  const perPart = chunk / n;
  const quads = chunk / 4 / sharers;
  const moveResults = lines(Math.ceil(valueColumns / perPart), (part) => {
    const count = Math.min(perPart, valueColumns - part * perPart);
    const used = Math.min(quads, Math.ceil((count * n) / 4 / sharers));
    const place = (c: number): string => `${(c * n) / 4}u`;
    const result = (c: number): string => `result_${b}_${part * perPart + c}`;
    return wgsl`
      ${lines(count, (c) => `subgroupMatrixStore<row_major>(own, ${place(c)}, ${result(c)}, ${scoreStride}u);`)}
      ${sync}
      for (var q = 0u; q < ${used}u; q++) {
        let place = y * ${scoreStride}u + x + ${sharers}u * q;
        (*own)[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>((*own)[place]) * shrink);
      }
      ${sync}
      ${lines(count, (c) => `${result(c)} = subgroupMatrixLoad<${resultType(layout)}, row_major>(own, ${place(c)}, ${scoreStride}u);`)}
      ${sync}`;
  });
  const body = wgsl`
    let moved = select(reference_${b}, top, grown);
    let shrink = exp2(reference_${b} - moved);
    reference_${b} = moved;
    total_${b} *= shrink;
    ${
      layout.lone
        ? wgsl`
          // Nothing is there to be moved at a row's first keys.
          if (subgroupAny(total_${b} > 0.0)) {
            ${moveResults}
          }`
        : moveResults
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
 * From dot products to the pattern's own scores where there is an edge, LOWEST elsewhere.
 * @param marked places say whether there is a key: masks of coordinates alone then read no positions
 */
export function emitFinishScores(hasScore: boolean, places: boolean, marked: boolean): string {
  const given = places ? ', i_place' : '';
  const one = (c: string, n: number): string => `score(at, dots.${c}, i, key_positions[column + ${n}u])`;
  const scores = hasScore ? `vec4<f32>(${[...'xyzw'].map(one).join(', ')})` : 'dots';
  // f16 products cannot overflow: q or k is not finite. A score may hide that (softcap), or turn it into no weight.
  const keepNaN = wgsl`
    let dot_bits = bitcast<vec4<u32>>(dots);
    let lost = (dot_bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
    scores = select(scores, bitcast<vec4<f32>>(dot_bits | vec4<u32>(0x7fc00000u)), lost);`;
  const minusInfinity = hasScore ? ' & (bits != vec4<u32>(NEGATIVE_INFINITY_BITS))' : '';
  return wgsl`
    fn is_edge(at: Place, segment: u32, i: i32, column: u32${places ? ', i_place: vec4<i32>' : ''}) -> bool {
      let j = key_positions[column];
      ${places ? 'let j_place = key_places[column];' : ''}
      return ${places && marked ? 'j_place.w' : 'j'} >= 0 && keep(at, segment, i, j${places ? ', i_place, j_place' : ''});
    }
    // Scores of four pairs where they are edges, LOWEST elsewhere. With care, what is not finite marks the row.
    fn finish_scores(
      at: Place,
      segment: u32,
      i: i32,
      dots: vec4<f32>,
      column: u32,
      is_partial: bool,
      careful: bool,
      poisoned: ptr<function, bool>,
      ${places ? 'i_place: vec4<i32>,' : ''}
    ) -> vec4<f32> {
      ${hasScore ? 'var' : 'let'} scores = ${scores};
      ${hasScore ? keepNaN : ''}
      var edges = vec4<bool>(true);
      if (is_partial) {
        edges = vec4<bool>(
          is_edge(at, segment, i, column${given}),
          is_edge(at, segment, i, column + 1u${given}),
          is_edge(at, segment, i, column + 2u${given}),
          is_edge(at, segment, i, column + 3u${given}),
        );
      }
      if (careful) {
        let bits = bitcast<vec4<u32>>(scores);
        let bad = (bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
        let marks = atomicLoad(&flags[column >> 5u]) >> (column & 31u);
        let bad_values = ((vec4<u32>(marks) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) != vec4<u32>();
        if (any(edges & (bad_values | (bad${minusInfinity})))) {
          *poisoned = true;
        }
        edges = edges & !bad;
      }
      return select(vec4<f32>(LOWEST), scores, edges);
    }`;
}
