import {
  add,
  all,
  FALSE,
  int,
  isConst,
  make,
  max,
  min,
  ONE,
  or,
  select,
  sub,
  variable,
  ZERO,
} from './build.js';
import { boundsOf, EVERYWHERE, type Bound } from './bounds.js';
import { mentions, rewrite, same, some, type Expr } from './expr.js';
import { isInfinite } from './interval.js';
import { Cover, type Box, type Truth } from './range.js';
import { boxOfSide, boxOfWholeSide, substitute } from './space.js';
import type { BoxSpace, GridSpace, Interval, Seed, Segment, Space } from './schedule.js';

/** One rule, or one alternative of a rule, as a conjunction. */
export interface Term {
  readonly atoms: readonly Expr[];
  /** What follows from the atoms, and says better where to look. */
  readonly implied?: readonly Expr[];
  readonly label: string;
  readonly source: string;
}

export const conditionOf = (t: Term): Expr => all(t.atoms);

/** Intervals past which a kernel would rather read a list. */
const MOST_KERNEL_INTERVALS = 8;

/** The last key. */
const LAST = sub(variable('keys'), ONE);

/**
 * A segment that serves `terms` through a key space.
 * @param excluded conditions of pairs that other segments serve
 * @param consumed atoms that hold wherever the spaces have coordinates
 * @param axes number of grid axes of the pattern
 */
export function makeSegment(
  terms: readonly Term[],
  queries: Space,
  keys: Space,
  axes: number,
  excluded: readonly Expr[] = [],
  consumed: readonly Expr[] = [],
): Segment {
  const box: Box = new Map([...boxOfSide('i', queries, axes), ...boxOfSide('j', keys, axes)]);
  const cover = new Cover(box);
  const residual = (atoms: readonly Expr[]): Expr =>
    all(atoms.filter((a) => !consumed.includes(a) && !isConst(cover.truth(a).all, 1)));
  const served = terms.map((t) => residual(t.atoms)).reduce(or, FALSE);
  const others = excluded.filter((e) => !isConst(cover.truth(e).any, 0));
  const keep = all([served, ...others.map((e) => make('not', 'bool', [e]))]);
  const truth: Truth = cover.truth(keep);

  // What made a list holds for all of it, and narrows nothing down; other spaces may be empty where their atom fails.
  const listed = (a: Expr): boolean =>
    consumed.includes(a) && (mentions(a, 'j') ? keys.kind === 'list' : queries.kind === 'list');
  const open = (t: Term): Term => ({ ...t, atoms: t.atoms.filter((a) => !listed(a)) });
  const seeds = keys.kind === 'box' ? [] : terms.flatMap((t) => seedsOf(open(t), queries, keys, axes));
  return {
    space: keys,
    labels: [...new Set(terms.map((t) => t.label))],
    sources: [...new Set(terms.map((t) => t.source))],
    keep,
    any: truth.any,
    all: truth.all,
    seeds,
    intervals: kernelIntervals(seeds, keys, truth),
  };
}

/** The box of a term's keys for query tiles of a grid; undefined where there is none, or only the host could find it. */
export function boxOfKeys(term: Term, queries: GridSpace): BoxSpace | undefined {
  const { sizes } = queries;
  const [seed] = seedsOf(term, queries, queries, sizes.length);
  if (seed?.kind !== 'interval' || [...seed.lo, ...seed.hi].some(needsHost)) return undefined;
  return { kind: 'box', lo: seed.lo, hi: seed.hi, sizes, name: 'box' };
}

/** Where a term's keys can lie for a query tile: a union of seeds, each clipped to the keys. */
function seedsOf(term: Term, queries: Space, keys: Space, axes: number): readonly Seed[] {
  const cover = new Cover(new Map([...boxOfSide('i', queries, axes), ...boxOfWholeSide('j', axes)]));
  const condition = all([...(term.implied ?? []), ...term.atoms]);
  // Conditions on the query's side alone decide whether there are any keys at all.
  const guard = all(term.atoms.filter((a) => !mentions(a, 'j')).map((a) => cover.truth(a).any));
  if (isConst(guard, 0)) return [];
  if (keys.kind === 'grid') {
    const last = keys.sizes.map((s) => sub(s, ONE));
    const perAxis = keys.sizes.map((_, n) => singleInterval(boundsOf(condition, `j.${n}`, cover)));
    return [
      {
        kind: 'interval',
        lo: perAxis.map((b) => (isInfinite(b.lo) ? ZERO : max(b.lo, ZERO))),
        hi: perAxis.map((b, n) => select(guard, isInfinite(b.hi) ? last[n] : min(b.hi, last[n]), int(-1))),
      },
    ];
  }
  const first = (lo: Expr): Expr => (isInfinite(lo) ? ZERO : max(lo, ZERO));
  const final = (hi: Expr): Expr => select(guard, isInfinite(hi) ? LAST : min(hi, LAST), int(-1));
  // In a 1-D space the first grid coordinate bounds positions too.
  const along = boundsOf(condition, 'j', cover);
  const direct = along === EVERYWHERE && axes > 0 ? boundsByFirstAxis(condition, cover, axes) : along;
  return direct.map((b): Seed => {
    if (b.kind === 'interval') return { kind: 'interval', lo: [first(b.lo)], hi: [final(b.hi)] };
    return { ...b, lo: first(b.lo), hi: final(b.hi) };
  });
}

function boundsByFirstAxis(condition: Expr, cover: Cover, axes: number): readonly Bound[] {
  const b = singleInterval(boundsOf(condition, 'j.0', cover));
  let stride: Expr = ONE;
  for (let n = 1; n < axes; n++) stride = make('mul', 'int', [stride, variable(`size.${n}`)]);
  return [
    {
      kind: 'interval',
      lo: isInfinite(b.lo) ? b.lo : make('mul', 'int', [b.lo, stride]),
      hi: isInfinite(b.hi) ? b.hi : sub(make('mul', 'int', [add(b.hi, ONE), stride]), ONE),
    },
  ];
}

function singleInterval(bounds: readonly Bound[]): { readonly lo: Expr; readonly hi: Expr } {
  if (bounds.length === 1 && bounds[0].kind === 'interval') return bounds[0];
  if (bounds.length === 0) return { lo: ZERO, hi: int(-1) };
  const intervals = bounds.filter((b) => b.kind === 'interval');
  if (intervals.length < bounds.length) return { lo: int(-Infinity), hi: int(Infinity) };
  return intervals.reduce((a, b) => ({
    kind: 'interval',
    lo: isInfinite(a.lo) || isInfinite(b.lo) ? int(-Infinity) : min(a.lo, b.lo),
    hi: isInfinite(a.hi) || isInfinite(b.hi) ? int(Infinity) : max(a.hi, b.hi),
  }));
}

/** The intervals in coordinates, if a kernel can find its tiles by itself. */
function kernelIntervals(seeds: readonly Seed[], keys: Space, truth: Truth): readonly Interval[] | undefined {
  if (keys.kind === 'list' || seeds.length > MOST_KERNEL_INTERVALS) return undefined;
  if ([truth.any, truth.all].some(needsHost)) return undefined;
  if (keys.kind === 'box') return [{ lo: [ZERO], hi: [LAST] }];
  const intervals: Interval[] = [];
  for (const seed of seeds) {
    if (seed.kind !== 'interval' || [...seed.lo, ...seed.hi].some(needsHost)) return undefined;
    // A rule that nothing bounds and that isn't full anywhere is better subdivided than scanned.
    if (keys.kind === 'line' && isConst(seed.lo[0], 0) && same(seed.hi[0], LAST) && someKey(truth.any))
      return undefined;
    intervals.push(
      keys.kind === 'grid'
        ? { lo: seed.lo, hi: seed.hi }
        : { lo: [rankOf(keys.rank, seed.lo[0])], hi: [sub(rankOf(keys.rank, add(seed.hi[0], ONE)), ONE)] },
    );
  }
  return intervals;
}

const rankOf = (rank: Expr, p: Expr): Expr => substitute(rank, new Map([['p', p]]));

/** True if the expression reads a summary that only the host keeps. */
export function needsHost(e: Expr): boolean {
  return some(
    e,
    (n) => n.op === 'table_min' || n.op === 'table_max' || n.op === 'edges_any' || n.op === 'edges_all',
  );
}

const someKey = (e: Expr): boolean => some(e, (n) => n.op === 'var' && n.name.startsWith('j.'));

/** Distributes `not` to the leaves and turns `if` on conditions into and/or. */
export function negationNormal(e: Expr): Expr {
  return rewrite(e, (n) => {
    if (n.op === 'if' && n.type === 'bool') {
      const [c, a, b] = n.args;
      return or(all([c, a]), all([negationNormal(make('not', 'bool', [c])), b]));
    }
    if (n.op !== 'not') return n;
    const [x] = n.args;
    if (x.op === 'and')
      return or(
        negationNormal(make('not', 'bool', [x.args[0]])),
        negationNormal(make('not', 'bool', [x.args[1]])),
      );
    if (x.op === 'or') return all(x.args.map((a) => negationNormal(make('not', 'bool', [a]))));
    return n;
  });
}
