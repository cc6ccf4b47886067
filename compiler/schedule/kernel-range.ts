import { add, int, max, min, ONE, sub, variable, ZERO } from '../ir/build.js';
import { walk, type Expr } from '../ir/expr.js';
import { isInfinite, range, type Range } from '../ir/interval.js';
import { Cover, type Box } from '../ir/range.js';
import type { KernelRange, LineSpace, Segment, Space, TilePass } from '../ir/schedule.js';

/**
 * Kernels find their tiles in 32-bit integers. What the pattern itself computes is checked at binding (Pattern.checks);
 * what the compiler adds (`i.hi + window`) is bounded here, for the runtime to check likewise: never a wrapped number.
 */
export function kernelRanges(pass: TilePass): readonly KernelRange[] {
  const axes = pass.queries.kind === 'grid' ? pass.queries.sizes.length : 0;
  return [
    ...rangeOf(spaceExpressions(pass.queries), boxFor(pass.queries, undefined, axes), 'the query space'),
    ...pass.segments.flatMap((s) =>
      rangeOf(segmentExpressions(pass, s), boxFor(pass.queries, s.space, axes), s.labels.join(', ')),
    ),
  ];
}

function spaceExpressions(space: Space): readonly Expr[] {
  if (space.kind === 'box')
    return space.lo.flatMap((lo, n) => [lo, space.hi[n], add(sub(space.hi[n], lo), ONE)]);
  return space.kind === 'line' ? [space.size, space.position, space.classes] : [];
}

function segmentExpressions(pass: TilePass, s: Segment): readonly Expr[] {
  const own = spaceExpressions(s.space);
  if (pass.plan === 'host') return own;
  return [...own, s.any, s.all, ...(s.intervals ?? []).flatMap((x) => [...x.lo, ...x.hi])];
}

/** Everything that the box variables of a query tile and a key tile can be. */
function boxFor(queries: Space, keys: Space | undefined, axes: number): Box {
  const first = variable('first');
  const lastKey = sub(variable('keys'), ONE);
  const box = new Map<string, Range>();
  const ends = (side: 'i' | 'j', lo: Expr, hi: Expr): void => {
    for (const name of [side, `${side}.lo`, `${side}.hi`]) box.set(name, range(lo, hi));
    for (let n = 0; n < axes; n++) {
      const last = sub(variable(`size.${n}`), ONE);
      for (const name of [`${side}.${n}`, `${side}.${n}.lo`, `${side}.${n}.hi`])
        box.set(name, range(ZERO, last));
    }
  };
  ends('i', first, sub(add(first, variable('rows')), ONE));
  ends('j', ZERO, lastKey);
  if (queries.kind === 'line') box.set('i.class', range(ZERO, sub(queries.classes, ONE)));
  const line: LineSpace | undefined =
    keys === undefined
      ? queries.kind === 'line'
        ? queries
        : undefined
      : keys.kind === 'line'
        ? keys
        : undefined;
  if (line) {
    // The size may depend on the class: its own range stands for it.
    const size = new Cover(box).range(line.size);
    const last = isInfinite(size.hi) ? lastKey : max(sub(size.hi, ONE), ZERO);
    box.set('v', range(ZERO, last));
    box.set('p', range(ZERO, variable('keys')));
  }
  return box;
}

/** The least and greatest integer that appears anywhere in the expressions. */
function rangeOf(roots: readonly Expr[], box: Box, what: string): readonly KernelRange[] {
  const cover = new Cover(box);
  let lo: Expr = ZERO;
  let hi: Expr = ZERO;
  let known = true;
  walk(roots, (e) => {
    const grows = e.op === 'add' || e.op === 'sub' || e.op === 'mul' || e.op === 'neg' || e.op === 'shl';
    if (!grows || e.type !== 'int') return;
    const r = cover.range(e);
    if (isInfinite(r.lo) || isInfinite(r.hi)) {
      known = false;
      return;
    }
    lo = min(lo, r.lo);
    hi = max(hi, r.hi);
  });
  if (!known) return [{ what, lo: int(-Infinity), hi: int(Infinity) }];
  return lo === ZERO && hi === ZERO ? [] : [{ what, lo, hi }];
}
