import { TILE, type GridSpace, type Segment, type TilePass } from '../ir/schedule.js';
import { TRUE } from '../ir/build.js';
import type { Expr } from '../ir/expr.js';
import { emitKeyBoxes, tileEnds } from './boxes.js';
import { printAll, variablesOf } from './expression.js';
import { boxPrinter, emitQueryBox } from './query-box.js';
import type { Shader } from './shader.js';
import { gridTileLets, keySpaceNames, sizeText, tilesAlong } from './spaces.js';
import type { Target } from './target.js';
import { firstOf, stepOf, TILE_STRUCT, visitRuns, type Visit } from './visit-runs.js';
import { lines, wgsl } from './wgsl.js';

export type { Visit } from './visit-runs.js';

/**
 * Which key tiles a query tile visits: found by the kernel from the segments' intervals, or read from the plan. Either
 * way `next_tile` gives one after the other, so that a kernel may fetch a tile while it computes on the one before.
 *
 * @param one WGSL of the number 1, by which tiles are counted
 */
export function emitVisit(
  shader: Shader,
  target: Target,
  pass: TilePass,
  split: boolean,
  rows: number | string,
  one = '1u',
): Visit {
  const boxes = emitKeyBoxes(shader, target, pass);
  if (pass.plan === 'kernel') {
    const visit = visitIntervals(shader, target, pass, split, rows, one);
    return { ...visit, functions: [...boxes, ...visit.functions] };
  }
  const visit = visitRuns(shader, split, one);
  if (boxes.length === 0) return visit;
  return { ...visit, functions: [emitQueryBox(shader, target, pass, rows), ...boxes, ...visit.functions] };
}

interface PieceOf {
  readonly segment: number;
  readonly interval: number;
}

function visitIntervals(
  shader: Shader,
  target: Target,
  pass: TilePass,
  split: boolean,
  rows: number | string,
  one: string,
): Visit {
  const pieces: readonly PieceOf[] = pass.segments.flatMap((s, segment) =>
    (s.intervals ?? []).map((_, interval) => ({ segment, interval })),
  );
  const axes = Math.max(1, ...pass.segments.map((s) => (s.space.kind === 'grid' ? s.space.tile.length : 1)));
  const single = pieces.length === 1;
  const piecesOverlap = pass.segments.some((s) => (s.intervals?.length ?? 0) > 1);
  const segmentOfPiece = single
    ? `${pieces[0].segment}u`
    : pieces.every((p, n) => p.segment === n)
      ? 'piece'
      : 'segment_of(piece)';

  const functions = [
    TILE_STRUCT,
    emitQueryBox(shader, target, pass, rows),
    wgsl`
    // Key tiles along each axis, from first to last.
    struct Span {
      ${lines(axes, (n) => `first_${n}: i32,\nlast_${n}: i32,`)}
    }`,
    ...pieces.map((p, n) => emitSpan(shader, target, pass, p, n, axes)),
    single ? '' : switchOf('key_span', 'Span', 'piece', pieces.length, '', (n) => `key_span_${n}(at, box)`),
    segmentOfPiece === 'segment_of(piece)'
      ? wgsl`
        fn segment_of(piece: u32) -> u32 {
          const SEGMENTS = array<u32, ${pieces.length}>(${pieces.map((p) => `${p.segment}u`).join(', ')});
          return SEGMENTS[piece];
        }`
      : '',
    piecesOverlap ? emitSeenBefore(shader, target, pass, pieces) : '',
    ...pass.segments.map((s, n) => emitKind(shader, target, s, n)),
    pass.segments.length > 1
      ? switchOf(
          'tile_kind',
          'u32',
          'segment',
          pass.segments.length,
          ', tile: i32',
          (n) => `tile_kind_${n}(at, box, tile)`,
        )
      : '',
  ];
  const kindCall =
    pass.segments.length > 1 ? 'tile_kind(at, box, segment, tile)' : 'tile_kind_0(at, box, tile)';
  const grid = pass.segments.some((s) => s.space.kind === 'grid');
  const cursor = single ? cursorOfOne(axes, split) : cursorOfMany(axes, split, pieces.length);
  const next = wgsl`
    fn next_tile(at: Place, box: Box, cursor: ptr<function, Cursor>) -> Tile {
      loop {
        ${cursor.advance}
        ${grid || piecesOverlap ? 'let span = (*cursor).span;' : ''}
        let n = (*cursor).n;
        (*cursor).n += ${stepOf(split, one)};
        let segment = ${segmentOfPiece};
        let tile = ${grid ? tileOfSpan(shader, target, pass) : '(*cursor).span.first_0 + i32(n)'};
        ${
          piecesOverlap
            ? wgsl`
              if (seen_before(at, box, piece, tile)) {
                continue;
              }`
            : ''
        }
        let kind = ${kindCall};
        if (kind != NO_PAIR) {
          return Tile(segment, tile, kind);
        }
      }
    }`;
  if (pieces.length === 0) {
    return { functions: [TILE_STRUCT], begin: '', next: 'NO_TILE', most: undefined };
  }
  return {
    functions: [...functions, cursor.text, next],
    begin: wgsl`
      let box = query_box(at);
      var cursor = first_tile(at, box);`,
    next: 'next_tile(at, box, &cursor)',
    most: single ? `${TILE}u * cursor.count` : undefined,
  };
}

/** Where a workgroup stands among its tiles: `Cursor` and `first_tile`, and how `next_tile` begins. */
interface CursorText {
  readonly text: string;
  readonly advance: string;
}

const tilesOfSpan = (axes: number): string =>
  lines(axes, (n) => `u32(max(span.last_${n} - span.first_${n} + 1, 0))`).join(' * ');

/** One piece is spanned before the loop over its tiles, which then is all that is left. */
const cursorOfOne = (axes: number, split: boolean): CursorText => ({
  text: wgsl`
    // Where a workgroup stands: tile n of its keys.
    struct Cursor {
      n: u32,
      count: u32,
      span: Span,
    }
    fn first_tile(at: Place, box: Box) -> Cursor {
      let span = key_span_0(at, box);
      return Cursor(${split ? 'at.split' : '0u'}, ${tilesOfSpan(axes)}, span);
    }`,
  advance: wgsl`
    if ((*cursor).n >= (*cursor).count) {
      return NO_TILE;
    }`,
});

const cursorOfMany = (axes: number, split: boolean, pieces: number): CursorText => ({
  text: wgsl`
    // Where a workgroup stands: the piece that comes next, and tile n of the present one.
    struct Cursor {
      piece: u32,
      n: u32,
      count: u32,
      ${split ? '// Tiles of the pieces before.\nvisited: u32,' : ''}
      span: Span,
    }
    fn first_tile(at: Place, box: Box) -> Cursor {
      return Cursor(0u, 0u, 0u, ${split ? '0u, ' : ''}Span(${lines(axes, () => '0, -1').join(', ')}));
    }`,
  advance: wgsl`
    while ((*cursor).n >= (*cursor).count) {
      if ((*cursor).piece >= ${pieces}u) {
        return NO_TILE;
      }
      let span = key_span(at, box, (*cursor).piece);
      ${split ? '(*cursor).visited += (*cursor).count;' : ''}
      (*cursor).span = span;
      (*cursor).count = ${tilesOfSpan(axes)};
      (*cursor).n = ${firstOf(split)};
      (*cursor).piece += 1u;
    }
    let piece = (*cursor).piece - 1u;`,
});

function emitSpan(
  shader: Shader,
  target: Target,
  pass: TilePass,
  { segment, interval }: PieceOf,
  piece: number,
  axes: number,
): string {
  const { space, intervals } = pass.segments[segment];
  const { lo, hi } = (intervals ?? [])[interval];
  const { lets, values } = printAll([...lo, ...hi], boxPrinter(shader, target));
  const own = lo.length;
  const ends = lines(axes, (n) => {
    if (n >= own) return '0,\n0';
    const extent = space.kind === 'grid' ? space.tile[n] : 64;
    const size =
      space.kind === 'grid' ? sizeText(space.sizes[n], shader, target) : `${keySpaceNames(segment).size}(at)`;
    return `tile_of(max(${values[n]}, 0), ${extent}),\ntile_of(min(${values[own + n]}, ${size} - 1), ${extent})`;
  }).join(',\n');
  shader.helper(
    'tile_of',
    () => wgsl`
      // The tile that a coordinate lies in; those before the first lie in tile -1.
      fn tile_of(coordinate: i32, extent: i32) -> i32 {
        return select(coordinate / extent, -1, coordinate < 0);
      }`,
  );
  // An interval that holds nothing may still begin and end in one tile.
  const empty = lines(own, (n) => `${values[own + n]} < ${values[n]}`).join(' || ');
  const none = lines(axes, () => '0, -1').join(', ');
  return wgsl`
    // Key tiles of ${space.name}${(intervals?.length ?? 0) > 1 ? `, interval ${interval}` : ''}.
    fn key_span_${piece}(at: Place, box: Box) -> Span {
      ${lets}
      if (${empty}) {
        return Span(${none});
      }
      return Span(
        ${ends},
      );
    }`;
}

/** `switch` over functions numbered 0 … count − 1. */
function switchOf(
  name: string,
  type: string,
  over: string,
  count: number,
  rest: string,
  call: (n: number) => string,
): string {
  return wgsl`
    fn ${name}(at: Place, box: Box, ${over}: u32${rest}) -> ${type} {
      switch ${over} {
        ${lines(count - 1, (n) => `case ${n}u: {\n  return ${call(n)};\n}`)}
        default: {
          return ${call(count - 1)};
        }
      }
    }`;
}

/** Number of tile n of a span: row-major over the tiles of the grid. */
function tileOfSpan(shader: Shader, target: Target, pass: TilePass): string {
  const grid = pass.segments.map((s) => s.space).find((s): s is GridSpace => s.kind === 'grid');
  if (grid === undefined) return 'span.first_0 + i32(n)';
  const axes = grid.tile.length;
  shader.helper('tile_of_span', () => {
    const steps = lines(axes, (m) => {
      const n = axes - 1 - m;
      const width = `(span.last_${n} - span.first_${n} + 1)`;
      const own = `let x_${n} = span.first_${n} + rest${n === 0 ? '' : ` % ${width}`};`;
      return n === 0 ? own : `${own}\nrest /= ${width};`;
    });
    const position = Array.from({ length: axes }, (_, n) => n).reduce(
      (p, n) =>
        n === 0 ? 'x_0' : `${n === 1 ? p : `(${p})`} * ${tilesAlong(grid, n, shader, target)} + x_${n}`,
      '',
    );
    return wgsl`
      // Tile n of a span, numbered row-major over the grid's tiles.
      fn tile_of_span(at: Place, span: Span, n: u32) -> i32 {
        var rest = i32(n);
        ${steps}
        return ${position};
      }`;
  });
  const lineSegments = pass.segments.flatMap((s, n) => (s.space.kind === 'grid' ? [] : [`segment == ${n}u`]));
  const onGrid = 'tile_of_span(at, span, n)';
  return lineSegments.length === 0
    ? onGrid
    : `select(${onGrid}, span.first_0 + i32(n), ${lineSegments.join(' || ')})`;
}

function emitSeenBefore(shader: Shader, target: Target, pass: TilePass, pieces: readonly PieceOf[]): string {
  const cases = pieces.flatMap(({ segment, interval }, n) => {
    if (interval === 0) return [];
    const { space } = pass.segments[segment];
    const places = space.kind === 'grid' ? gridTileLets(space, shader, target) : ['let tile_0 = tile;'];
    const axes = space.kind === 'grid' ? space.tile.length : 1;
    const inside = (earlier: number): string =>
      lines(
        axes,
        (a) => `span_${earlier}.first_${a} <= tile_${a} && tile_${a} <= span_${earlier}.last_${a}`,
      ).join(' && ');
    const earlier = Array.from({ length: interval }, (_, m) => n - interval + m);
    return [
      wgsl`
      case ${n}u: {
        ${places}
        ${earlier.map((m) => `let span_${m} = key_span_${m}(at, box);`)}
        return ${earlier.map((m) => (earlier.length > 1 ? `(${inside(m)})` : inside(m))).join(' || ')};
      }`,
    ];
  });
  return wgsl`
    // Does an earlier interval of the same segment visit the tile?
    fn seen_before(at: Place, box: Box, piece: u32, tile: i32) -> bool {
      switch piece {
        ${cases}
        default: {
          return false;
        }
      }
    }`;
}

/** `tile_kind_S`: may any pair of the two tiles be an edge, or are all of them? */
function emitKind(shader: Shader, target: Target, segment: Segment, n: number): string {
  const { space } = segment;
  if (space.kind !== 'grid') return emitKindOf(shader, target, segment, n, 'tile_kind', TILE);
  const ends = [
    ...gridTileLets(space, shader, target),
    ...space.tile.flatMap((extent, a) => [
      `let j_${a}_lo = tile_${a} * ${extent};`,
      `let end_${a} = min(j_${a}_lo + ${extent}, ${sizeText(space.sizes[a], shader, target)});`,
      `let j_${a}_hi = end_${a} - 1;`,
    ]),
  ];
  const whole = space.tile.map((extent, a) => `end_${a} == j_${a}_lo + ${extent}`).join(' && ');
  return kindFunction(shader, target, segment, `tile_kind_${n}(at: Place, box: Box, tile: i32)`, ends, whole);
}

/**
 * The same of some keys of a space that has one axis: for whole tiles by number (`tile_kind`), or for `count` of them
 * from coordinate `first` on; past the last key there are none.
 */
export function emitKindOf(
  shader: Shader,
  target: Target,
  segment: Segment,
  n: number,
  name: 'tile_kind' | 'own_kind',
  count: number,
): string {
  const { space } = segment;
  const ends = [
    name === 'tile_kind' ? `let first = tile * ${count};` : '',
    `let end = min(first + ${count}, ${keySpaceNames(n).size}(at));`,
    name === 'tile_kind' ? '' : 'if (end <= first) {\n  return NO_PAIR;\n}',
    ...(space.kind === 'box' ? tileEnds(space, n, variablesOf([segment.any, segment.all])) : []),
    ...endOf(segment, 'lo', `${keySpaceNames(n).at}(at, first)`),
    ...endOf(segment, 'hi', `${keySpaceNames(n).at}(at, end - 1)`),
  ];
  const place = name === 'tile_kind' ? 'tile' : 'first';
  const signature = `${name}_${n}(at: Place, box: Box, ${place}: i32)`;
  return kindFunction(shader, target, segment, signature, ends, `end == first + ${count}`);
}

function kindFunction(
  shader: Shader,
  target: Target,
  segment: Segment,
  signature: string,
  ends: readonly string[],
  whole: string,
): string {
  const never = segment.any === TRUE || (segment.any.op === 'const' && segment.any.value !== 0);
  const { lets, values } = printAll([segment.any, segment.all], boxPrinter(shader, target));
  const full = values[1] === 'true' ? whole : values[1] === 'false' ? 'false' : `${whole} && (${values[1]})`;
  return wgsl`
    // Which pairs of the two tiles are edges?
    fn ${signature} -> u32 {
      ${ends}
      ${lets}
      ${
        never
          ? ''
          : wgsl`
            if (!(${values[0]})) {
              return NO_PAIR;
            }`
      }
      return select(SOME_PAIRS, EVERY_PAIR, ${full});
    }`;
}

function endOf(segment: Segment, end: 'lo' | 'hi', text: string): readonly string[] {
  const used: readonly Expr[] = [segment.any, segment.all];
  return variablesOf(used).has(`j.${end}`) ? [`let j_${end} = ${text};`] : [];
}
