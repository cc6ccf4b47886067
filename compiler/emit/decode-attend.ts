import {
  clampedPiece,
  eachPiece,
  isUnrolled,
  SET,
  upper,
  type DecodeLayout,
  type PieceNumber,
} from './decode-layout.js';
import { rowStart } from './place.js';
import type { Shader } from './shader.js';
import type { Visit } from './visit-runs.js';
import { lines, wgsl } from './wgsl.js';

/** Four keys and a set of four rows: scores, online softmax and weighted values. */

const ROWS = Array.from({ length: SET }, (_, r) => r);
const KEYS = [0, 1, 2, 3] as const;
const COMPONENTS = 'xyzw';

/** Functions that `attendLoop` calls. */
export const emitAttendKeys = (layout: DecodeLayout): readonly string[] => [
  scoreOwn(),
  emitSumOverTeam(layout),
  ...weightFunctions(layout),
];

/** Type of what a lane has for its row and its share of four keys, and the components' names. */
const shareType = ({ scores }: DecodeLayout): string => (scores === 1 ? 'f32' : `vec${scores}<f32>`);

const shareOf = ({ scores }: DecodeLayout, name: string): readonly string[] =>
  scores === 1 ? [name] : lines(scores, (n) => `${name}.${COMPONENTS[n]}`);

/** Shuffles between the lanes of a team that share a row. */
const rowMasks = ({ lanes }: DecodeLayout): readonly number[] => [4, 8].filter((m) => m < lanes);

/** Loads of a lane's part of four keys, or of their values, from the rows `row_0` to `row_3`. */
function loads(
  shader: Shader,
  layout: DecodeLayout,
  tensor: 'k' | 'v',
  line: (name: string, value: string) => string,
): { readonly starts: readonly string[]; readonly of: (n: PieceNumber) => readonly string[] } {
  const pieces = tensor === 'k' ? layout.pieces : layout.valuePieces;
  return {
    starts: KEYS.map((c) => `let ${tensor}_row_${c} = ${rowStart(shader, tensor, `row_${c}`)};`),
    of: (n) =>
      KEYS.map((c) =>
        line(
          `${tensor}_${c}_${n.name}`,
          `${shader.bind(tensor)}[${tensor}_row_${c} + ${clampedPiece(n, pieces)}]`,
        ),
      ),
  };
}

const rowsOf = (segment: string, tile: string, first: string): readonly string[] => [
  ...KEYS.map(
    (c) => `let j_${c} = key_position(at, ${segment}, ${tile}, i32(${first}${c === 0 ? '' : ` + ${c}u`}));`,
  ),
  ...KEYS.map((c) => `let row_${c} = u32(max(j_${c}, 0));`),
];

/**
 * Statements that attend to the team's keys of all tiles, four at a time; teams of one set take turns. Keys are asked
 * for as soon as the registers of those before are free, and values before the products: where their loads stand in
 * loops of their own, since a lane has more of them than registers, nothing is ahead of its use.
 * @param sets of rows of the workgroup, and @param begin what is to be done before the products, while the first keys
 *   are on their way: WGSL
 */
export function attendLoop(
  shader: Shader,
  layout: DecodeLayout,
  visit: Visit,
  { sets, begin }: { readonly sets: string; readonly begin: string },
): string {
  const keysAhead = isUnrolled(layout.owned);
  const valuesAhead = isUnrolled(layout.valuesOwned);
  const constant = (name: string, value: string): string => `let ${name} = ${value};`;
  const keys = loads(shader, layout, 'k', keysAhead ? (name, value) => `${name} = ${value};` : constant);
  const values = loads(shader, layout, 'v', constant);
  const variables = keysAhead
    ? eachPiece(shader, layout, 'keys', (n) => KEYS.map((c) => `var k_${c}_${n.name}: Oct;`).join('\n'))
    : [];
  const fetch = keysAhead
    ? wgsl`
      if (next.kind != NO_PAIR) {
        ${rowsOf('next.segment', 'next.tile', 'first')}
        ${keys.starts}
        ${eachPiece(shader, layout, 'keys', (n) => keys.of(n).join('\n'))}
      }`
    : '';
  const halves = (tensor: 'k' | 'v', n: PieceNumber, add: (of: string, index: string, r: number) => string) =>
    (['low', 'high'] as const).flatMap((of) => [
      ...KEYS.map((c) => `let ${of}_${c}_${n.name} = read_${of}(${tensor}_${c}_${n.name});`),
      ...ROWS.map((r) => add(of, of === 'low' ? n.index(r) : upper(n.index(r)), r)),
    ]);
  const products = eachPiece(shader, layout, 'keys', (n) =>
    [
      ...(keysAhead ? [] : keys.of(n)),
      ...halves('k', n, (of, index, r) => {
        const dots = KEYS.map((c) => `dot(queries[${index}], ${of}_${c}_${n.name})`);
        return `dots_${r} += vec4<f32>(${dots.join(', ')});`;
      }),
    ].join('\n'),
  );
  const weighted = (add: string): readonly string[] =>
    eachPiece(shader, layout, 'values', (n) =>
      [
        ...(valuesAhead ? [] : values.of(n)),
        ...halves('v', n, (of, index, r) => {
          const numbers = KEYS.map((c) => `${of}_${c}_${n.name}`);
          return `sums[${index}] = ${add}(sums[${index}], weights_${r}, ${numbers.join(', ')});`;
        }),
      ].join('\n'),
    );
  const scores = shareOf(layout, 'own_dots').map(
    (dot, n) => `score_own(segment, ${dot}, ${shareOf(layout, 'own_keys')[n]}, is_partial)`,
  );
  const share = shareType(layout);
  const highestOwn = shareOf(layout, 'own_scores').reduce((a, b) => `max(${a}, ${b})`);
  return wgsl`
    let turn = 4u * (team / ${sets});
    let turns = 4u * (TEAMS / ${sets});
    ${visit.begin}
    var next = ${visit.next};
    // The first of the team's keys in the tile.
    var first = turn;
    ${variables}
    ${fetch}
    ${begin}
    while (next.kind != NO_PAIR) {
      let segment = next.segment;
      let is_partial = next.kind == SOME_PAIRS;
      ${rowsOf('segment', 'next.tile', 'first')}
      ${keysAhead ? '' : keys.starts}
      ${values.starts}
      ${valuesAhead ? eachPiece(shader, layout, 'values', (n) => values.of(n).join('\n')) : ''}
      ${ROWS.map((r) => `var dots_${r} = vec4<f32>();`)}
      ${products}
      first += turns;
      if (first >= 64u) {
        first = turn;
        next = ${visit.next};
      }
      ${fetch}
      let own_dots = sum_over_team(${ROWS.map((r) => `dots_${r}`).join(', ')});
      let own_keys = share_of(vec4<i32>(j_0, j_1, j_2, j_3));
      let own_scores = ${scores.length === 1 ? scores[0] : `${share}(${scores.join(', ')})`};
      var top = max(highest, ${highestOwn});
      ${rowMasks(layout).map((m) => `top = max(top, subgroupShuffleXor(top, ${m}u));`)}
      if (subgroupAny(top > highest)) {
        let shrink = exp(highest - top);
        highest = top;
        total *= shrink;
        ${ROWS.map((r) => `let shrink_${r} = subgroupShuffle(shrink, first_lane + ${r}u);`)}
        ${eachPiece(shader, layout, 'values', (n) =>
          ROWS.flatMap((r) =>
            [n.index(r), upper(n.index(r))].map((index) => `sums[${index}] *= shrink_${r};`),
          ).join('\n'),
        )}
      }
      let own_weights = weights_of(own_scores, top);
      total += sum_of_weights(own_weights);
      ${ROWS.map((r) => `let weights_${r} = weights_of_row(own_weights, ${r}u);`)}
      if (is_partial) {
        ${weighted('add_edges')}
      } else {
        ${weighted('add_weighted')}
      }
    }`;
}

function scoreOwn(): string {
  return wgsl`
    // The score of the lane's row with a key, from their dot product. NaN or infinity in either make that so as well,
    // which is seen by bits, since WGSL may assume that there are none; it poisons the row, and so does a score of NaN
    // or +infinity. A score of -infinity gives no weight.
    fn score_own(segment: u32, dot_product: f32, j: i32, is_partial: bool) -> f32 {
      if (is_partial && (j < 0 || !keep(own.place, segment, own.i, j))) {
        return NO_EDGE;
      }
      let value = score(own.place, dot_product, own.i, j);
      let bits = bitcast<u32>(value);
      let special = (bits & INFINITY_BITS) == INFINITY_BITS;
      let bad = (bitcast<u32>(dot_product) & INFINITY_BITS) == INFINITY_BITS;
      poisoned = poisoned || bad || (special && bits != NEGATIVE_INFINITY_BITS);
      return select(max(value, LOWEST), LOWEST, special || bad);
    }`;
}

function weightFunctions(layout: DecodeLayout): readonly string[] {
  const share = shareType(layout);
  const vector = layout.scores > 1;
  const own = shareOf(layout, 'weights');
  const broadcast = wgsl`
    // The weights of row r of the set with the four keys, from the lanes that have them.
    fn weights_of_row(weights: ${share}, r: u32) -> vec4<f32> {
      let source = first_lane + r;
      ${
        layout.lanes === 4
          ? 'return subgroupShuffle(weights, source);'
          : layout.lanes === 8
            ? 'return vec4<f32>(subgroupShuffle(weights, source), subgroupShuffle(weights, source + 4u));'
            : wgsl`
              return vec4<f32>(
                subgroupShuffle(weights, source),
                subgroupShuffle(weights, source + 8u),
                subgroupShuffle(weights, source + 4u),
                subgroupShuffle(weights, source + 12u),
              );`
      }
    }`;
  const splat = (x: string): string => (vector ? `${share}(${x})` : x);
  return [
    wgsl`
    // exp(scores - top); exactly 0 for scores of -infinity, and -1 where there is no edge.
    fn weights_of(scores: ${share}, top: f32) -> ${share} {
      let weights = select(${splat('0.0')}, exp(scores - top), scores > ${splat('LOWEST')});
      return select(weights, ${splat('-1.0')}, scores < ${splat('LOWEST')});
    }
    fn sum_of_weights(weights: ${share}) -> f32 {
      return ${own.map((w) => `max(${w}, 0.0)`).join(' + ')};
    }`,
    broadcast,
    wgsl`
    // sum + the values of four keys by their weights. NaN and infinity in values stay, and are found in the end.
    fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
      return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
    }
    // The same, of those keys that the row has an edge to.
    fn add_edges(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
      var result = select(sum, sum + w.x * v0, w.x >= 0.0);
      result = select(result, result + w.y * v1, w.y >= 0.0);
      result = select(result, result + w.z * v2, w.z >= 0.0);
      return select(result, result + w.w * v3, w.w >= 0.0);
    }`,
  ];
}

/**
 * Adds up four rows' dot products with four keys over the lanes of a team, halving what a lane holds in each step: 12 +
 * 2 + 1 shuffles instead of 16 a step.
 */
function emitSumOverTeam(layout: DecodeLayout): string {
  const share = shareType(layout);
  const { lanes } = layout;
  const halve = (name: string, from: string, [low, high]: readonly [string, string], mask: number): string =>
    wgsl`
      let ${name}_own = select(${from}.${low}, ${from}.${high}, (lane & ${mask}u) != 0u);
      let ${name}_given = select(${from}.${high}, ${from}.${low}, (lane & ${mask}u) != 0u);
      let ${name} = ${name}_own + subgroupShuffleXor(${name}_given, ${mask}u);`;
  const pick = (from: string): string =>
    lanes === 4
      ? `return ${from};`
      : lanes === 8
        ? `return select(${from}.xy, ${from}.zw, (lane & 4u) != 0u);`
        : wgsl`
          let pair = select(${from}.xy, ${from}.zw, (lane & 4u) != 0u);
          return select(pair.x, pair.y, (lane & 8u) != 0u);`;
  return wgsl`
    // The lane's share of the scores of four rows (components: keys), summed over the team: those of row lane % 4.
    fn sum_over_team(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> ${share} {
      let odd = (lane & 1u) != 0u;
      let ab = select(a, b, odd) + subgroupShuffleXor(select(b, a, odd), 1u);
      let cd = select(c, d, odd) + subgroupShuffleXor(select(d, c, odd), 1u);
      let second = (lane & 2u) != 0u;
      let row = select(ab, cd, second) + subgroupShuffleXor(select(cd, ab, second), 2u);
      ${lanes >= 8 ? halve('half', 'row', ['xy', 'zw'], 4) : ''}
      ${lanes >= 16 ? halve('one', 'half', ['x', 'y'], 8) : ''}
      return ${lanes === 4 ? 'row' : lanes === 8 ? 'half' : 'one'};
    }
    // Of four keys those whose scores the lane has.
    fn share_of(keys: vec4<i32>) -> ${share.replace('f32', 'i32')} {
      ${pick('keys')}
    }`;
}
