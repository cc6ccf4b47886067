import { resultType, syncOf } from './matrix-kernel.js';
import { loadWeights } from './matrix-products.js';
import type { MatrixLayout } from './matrix-layout.js';
import { lines, wgsl } from './wgsl.js';

/** Online softmax of a block of scores: matrices → scratch space → lanes → scratch space → matrices. */

/** vec4 number q of a lane's scores: its place in the row, in vec4s, without the lane's own part. */
const quadAt = (layout: MatrixLayout, q: number): number => 2 * layout.sharers * (q >> 1) + (q & 1);

export function updateSoftmax(layout: MatrixLayout, b: number, hasScore: boolean): string {
  const { keyColumns, n, m, scoreStride, weightStride, pairs, sharers } = layout;
  const { sync } = syncOf(layout);
  const quads = 2 * pairs;
  const column = (q: number): string => `8u * x + ${4 * quadAt(layout, q)}u`;
  const mask = lines(
    quads,
    (q) =>
      `s_${q} = mask_quad(at, segment, i_${b}, s_${q}, ${column(q)}, is_partial, careful, &poisoned_${b});`,
  );
  const tops = lines(quads, (q) => `s_${q}`).reduce((a, c) => `max(${a}, ${c})`);
  const share = (op: (other: string) => string): readonly string[] => {
    const out: string[] = [];
    for (let step = 1; step < sharers; step *= 2) out.push(op(`${m * step}u`));
    return out;
  };
  return wgsl`
    ${lines(keyColumns, (c) => `subgroupMatrixStore<row_major>(&scratch, own + ${(c * n) / 4}u, score_${b}_${c}, ${scoreStride}u);`)}
    ${sync}
    ${loadsBefore(layout, b)}
    {
      let line = own + y * ${scoreStride}u + 2u * x;
      ${lines(quads, (q) => `var s_${q} = bitcast<vec4<f32>>(scratch[line + ${quadAt(layout, q)}u]);`)}
      ${hasScore ? lines(quads, (q) => `s_${q} = score_quad(at, s_${q}, i_${b}, ${column(q)});`) : ''}
      if (is_partial || careful) {
        ${mask}
      }
      let tops = ${tops};
      var top = max(max(tops.x, tops.y), max(tops.z, tops.w));
      ${share((other) => `top = max(top, subgroupShuffleXor(top, ${other}));`)}
      top *= TO_LOG2;
      let grown = top > reference_${b} + SLACK;
      ${rescale(layout, b)}
      ${lines(quads, (q) => `s_${q} = exp2(s_${q} * TO_LOG2 - reference_${b});`)}
      let sums = ${lines(quads, (q) => `s_${q}`).join(' + ')};
      total_${b} += (sums.x + sums.y) + (sums.z + sums.w);
      let weights = own + y * ${weightStride}u + x;
      ${lines(pairs, (p) => {
        const half = (q: number): string => `pack2x16float(s_${q}.xy), pack2x16float(s_${q}.zw)`;
        return `scratch[weights + ${sharers * p}u] = vec4<u32>(${half(2 * p)}, ${half(2 * p + 1)});`;
      })}
    }
    ${sync}
    ${loadWeights(layout, b)}
    ${b + 1 < layout.blocks ? sync : ''}`;
}

const loadsBefore = (_layout: MatrixLayout, b: number): string => `// Block ${b}: scores to weights.`;

/** Moves the reference of rows whose highest score has grown, and brings their sums and results to it. */
function rescale(layout: MatrixLayout, b: number): string {
  const { valueColumns, n, scoreStride, keys, sharers } = layout;
  const { sync } = syncOf(layout);
  const perPart = keys / n;
  const parts = Math.ceil(valueColumns / perPart);
  const quads = keys / 4 / sharers;
  const moveResults = lines(parts, (part) => {
    const matrices = Array.from({ length: Math.min(perPart, valueColumns - part * perPart) }, (_, c) => c);
    const used = Math.min(quads, Math.ceil((matrices.length * n) / 4 / sharers));
    return wgsl`
      ${matrices.map((c) => `subgroupMatrixStore<row_major>(&scratch, own + ${(c * n) / 4}u, result_${b}_${part * perPart + c}, ${scoreStride}u);`)}
      ${sync}
      ${lines(used, (q) => {
        const at = `results + ${sharers * q}u`;
        return `scratch[${at}] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[${at}]) * shrink);`;
      })}
      ${sync}
      ${matrices.map((c) => `result_${b}_${part * perPart + c} = subgroupMatrixLoad<${resultType(layout)}, row_major>(&scratch, own + ${(c * n) / 4}u, ${scoreStride}u);`)}
      ${sync}`;
  });
  const body = wgsl`
    let moved = select(reference_${b}, top, grown);
    let shrink = exp2(reference_${b} - moved);
    reference_${b} = moved;
    total_${b} *= shrink;
    let results = own + y * ${scoreStride}u + x;
    ${moveResults}`;
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

/** Pattern's score of four pairs. */
export function emitScoreQuad(): string {
  const one = (c: string, n: number): string => `score(at, dots.${c}, i, key_positions[column + ${n}u])`;
  return wgsl`
    fn score_quad(at: Place, dots: vec4<f32>, i: i32, column: u32) -> vec4<f32> {
      return vec4<f32>(${[...'xyzw'].map(one).join(', ')});
    }`;
}

/** Scores where there is an edge, LOWEST elsewhere; with care, NaN and infinity mark the row. */
export function emitMaskQuad(hasScore: boolean): string {
  const minusInfinity = hasScore ? ' & (bits != vec4<u32>(NEGATIVE_INFINITY_BITS))' : '';
  return wgsl`
    fn is_edge(at: Place, segment: u32, i: i32, column: u32) -> bool {
      let j = key_positions[column];
      return j >= 0 && keep(at, segment, i, j);
    }
    // Scores of four pairs where they are edges, LOWEST elsewhere. With care, what is not finite marks the row.
    fn mask_quad(
      at: Place,
      segment: u32,
      i: i32,
      scores: vec4<f32>,
      column: u32,
      is_partial: bool,
      careful: bool,
      poisoned: ptr<function, bool>,
    ) -> vec4<f32> {
      var edges = vec4<bool>(true);
      if (is_partial) {
        edges = vec4<bool>(
          is_edge(at, segment, i, column),
          is_edge(at, segment, i, column + 1u),
          is_edge(at, segment, i, column + 2u),
          is_edge(at, segment, i, column + 3u),
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
