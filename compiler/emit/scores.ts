import type { Segment } from '../ir/schedule.js';
import type { Expr } from '../ir/expr.js';
import { coordinateLets, placeLets } from './coordinates.js';
import { printReturn } from './expression.js';
import { edgesType } from './attend.js';
import { loopBounds, rowOf, scoresOf, type Layout } from './layout.js';
import type { Shader } from './shader.js';
import { isFlat, readName, sideArguments, sideParameters, type SideFacts } from './side-facts.js';
import { pairName, printerFor, type Target } from './target.js';
import { comment, floatLiteral, lines, wgsl } from './wgsl.js';

/** What becomes of the dot products: the pattern's score, and the masks of partial tiles. */

export function emitScores(
  shader: Shader,
  target: Target,
  segments: readonly Segment[],
  layout: Layout,
): readonly string[] {
  const { owned, quads, held, lanes } = layout;
  const words = edgesType(layout);
  const key = (c: number): string => `key_positions[${c === 0 ? 'x' : `x + ${lanes * c}u`}]`;
  /** A statement for each vec4 of scores. */
  const each = (line: (scores: string, r: number, quad: number) => string): readonly string[] =>
    lines(owned * quads, (n) => {
      const r = Math.floor(n / quads);
      return line(scoresOf(layout, r, n % quads), r, n % quads);
    });
  const position = (r: number): string => `query_positions[${rowOf(layout, r)}]`;
  const scored =
    target.score === undefined
      ? each((scores) => `${scores} *= ${floatLiteral(1 / Math.sqrt(target.dim))};`)
      : [
          ...lines(
            quads,
            (quad) => `let j${quad} = vec4<i32>(${lines(4, (c) => key(4 * quad + c)).join(', ')});`,
          ),
          ...each((scores, r, quad) => `${scores} = score_row(at, ${scores}, ${position(r)}, j${quad});`),
        ];
  const finish = wgsl`
    // From dot products to scores: the pattern's own, and LOWEST where a partial tile has no edge.
    fn finish_scores(at: Place, segment: u32, is_partial: bool) {
      ${scored}
      edges = ${words === 'u32' ? '0xffffffffu' : 'vec2<u32>(0xffffffffu)'};
      if (is_partial) {
        mask_tile(at, segment);
      }
      check_scores();
    }`;
  const mask = wgsl`
    // Finds the edges of a partial tile.
    fn mask_tile(at: Place, segment: u32) {
      edges = ${words === 'u32' ? '0u' : 'vec2<u32>()'};
      for (var n = 0u; n < ${loopBounds(shader, layout).pairs}; n++) {
        let i = query_positions[y + ${layout.across}u * (n >> ${Math.log2(held)}u)];
        let j = key_positions[x + ${lanes}u * (n & ${held - 1}u)];
        if (j >= 0 && keep(at, segment, i, j)) {
          ${words === 'u32' ? 'edges |= 1u << n;' : 'edges |= select(vec2<u32>(1u << n, 0u), vec2<u32>(0u, 1u << (n & 31u)), n >= 32u);'}
        }
      }
      ${each((scores, r, quad) => {
        const first = held * r + 4 * quad;
        const word = words === 'u32' ? 'edges' : `edges.${'xy'[first >> 5]}`;
        return `${scores} = select(vec4<f32>(LOWEST), ${scores}, four_edges(${word} >> ${first & 31}u));`;
      })}
    }
    fn four_edges(bits: u32) -> vec4<bool> {
      return ((vec4<u32>(bits) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) != vec4<u32>();
    }`;
  return [finish, ...emitKeep(shader, target, segments), mask, ...emitScore(shader, target, layout)];
}

/**
 * `keep(at, segment, i, j)`: is the pair an edge of the segment?
 * @param facts what it is told besides; by default it finds all by itself
 */
export function emitKeep(
  shader: Shader,
  target: Target,
  segments: readonly Segment[],
  facts?: SideFacts,
): readonly string[] {
  const more = facts ? sideParameters(facts, 'i', 'j') : '';
  const given = facts ? sideArguments(facts, ['i', 'j']) : '';
  const local = (name: string): string | undefined =>
    (facts && readName(facts.reads, name)) ?? pairName(name);
  const one = (s: Segment, rule: Expr, name: string, parameters: string): string => wgsl`
    ${comment(s.sources.join('\n'))}
    fn ${name}(at: Place, ${parameters}i: i32, j: i32${more}) -> bool {
      ${facts?.places ? placeLets([rule]) : coordinateLets(shader, target, [rule])}
      ${printReturn(rule, { ...printerFor(shader, target, local), flat })}
    }`;
  const rules = facts?.reads.rules ?? segments.map((s) => s.keep);
  const flat = facts !== undefined && isFlat(rules);
  if (segments.length === 1) return [one(segments[0], rules[0], 'keep', 'segment: u32, ')];
  return [
    ...segments.map((s, n) => one(s, rules[n], `keep_${n}`, '')),
    wgsl`
    // Is the pair an edge that the segment serves?
    fn keep(at: Place, segment: u32, i: i32, j: i32${more}) -> bool {
      switch segment {
        ${lines(segments.length - 1, (n) => `case ${n}u: {\n  return keep_${n}(at, i, j${given});\n}`)}
        default: {
          return ${segments.length === 0 ? 'false' : `keep_${segments.length - 1}(at, i, j${given})`};
        }
      }
    }`,
  ];
}

function emitScore(shader: Shader, target: Target, layout: Layout): readonly string[] {
  const own = target.score !== undefined;
  const ofRow = wgsl`
    fn score_row(at: Place, dots: vec4<f32>, i: i32, j: vec4<i32>) -> vec4<f32> {
      return vec4<f32>(score(at, dots.x, i, j.x), score(at, dots.y, i, j.y), score(at, dots.z, i, j.z), score(at, dots.w, i, j.w));
    }`;
  return [
    ...(own ? [scoreFunction(shader, target), ofRow] : []),
    wgsl`
    // ${own ? 'A score of NaN or +infinity reaches its row; -infinity gives no weight.' : 'A product past the range of f32 reaches its row: as NaN, never as a wrong number.'}
    fn check_scores() {
      ${lines(layout.owned * layout.quads, (n) => {
        return `scores[${n}] = checked(scores[${n}], ${rowOf(layout, Math.floor(n / layout.quads))});`;
      })}
    }
    fn checked(scores: vec4<f32>, row: u32) -> vec4<f32> {
      let bits = bitcast<vec4<u32>>(scores);
      let bad = (bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
      if (!any(bad)) {
        return scores;
      }
      if (any(bad${own ? ' & (bits != vec4<u32>(NEGATIVE_INFINITY_BITS))' : ''})) {
        atomicOr(&poisoned[row >> 5u], 1u << (row & 31u));
      }
      return select(scores, vec4<f32>(LOWEST), bad);
    }`,
  ];
}

/** `score(at, dot, i, j)`; where the pattern has none, dot · scale. */
export function scoreFunction(shader: Shader, target: Target): string {
  const { score } = target;
  if (score === undefined) {
    return wgsl`
      fn score(at: Place, dot: f32, i: i32, j: i32) -> f32 {
        return dot * ${floatLiteral(1 / Math.sqrt(target.dim))};
      }`;
  }
  const printer = printerFor(shader, target, (name) => (name === 'dot' ? 'dot_product' : pairName(name)));
  return wgsl`
    // The pattern's score of a pair, from the dot product of its query and key.
    fn score(at: Place, dot_product: f32, i: i32, j: i32) -> f32 {
      ${coordinateLets(shader, target, [score])}
      ${printReturn(score, printer)}
    }`;
}
