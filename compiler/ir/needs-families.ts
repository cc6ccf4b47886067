import { eq, int, isConst, variable } from './build.js';
import { boundsOf, type Bound } from './bounds.js';
import { roundBetween } from './digits.js';
import { some, type Expr } from './expr.js';
import type { BoundGraph } from './inputs.js';
import { tapeAt, type NeedTerm, type Place } from './needs-terms.js';
import { isInfinite, range } from './interval.js';
import { Cover } from './range.js';
import { permute } from './sample.js';

/**
 * Terms whose keys are members of a family: the columns of a graph's rows, or what was drawn for blocks of queries.
 * They are enumerated: the cost is that of the family, whatever the number of pairs.
 */
export interface Family {
  /** Conditions in place of the family's own: over i, j and `member` (and `row`, of a graph). */
  readonly rest: NeedTerm;
  /** True if `rest` holds for every key of a member. */
  readonly certain: boolean;
  /** Other conditions than the family's own. */
  readonly others: NeedTerm;
  /** True if `keysOf` doesn't depend on the queries. */
  readonly fixed: boolean;
  /** Members are less than this; drawn ones have no such number. */
  readonly members: number;
  /** Visits the members of the queries first … last (positions). */
  each(first: number, last: number, visit: VisitMember): void;
  /** Where the keys of the members lo … hi can lie (inclusive), for the queries first … last. */
  keysOf(lo: number, hi: number, first: number, last: number): { readonly lo: number; readonly hi: number };
  /** The least and the greatest member that there may be for the queries first … last. */
  span(first: number, last: number): { readonly lo: number; readonly hi: number };
}

/** A member and where its queries are; returns true to stop. */
export type VisitMember = (member: number, row: number, queryLo: number, queryHi: number) => boolean;

const MEMBER = variable('member');
const ROW = variable('row');

export function familyOf(term: NeedTerm, place: Place): Family | undefined {
  const { shape, batch } = place;
  const lastKey = int(shape.keys[batch] - 1);
  const box = new Map([
    ['i', range(variable('i.lo'), variable('i.hi'))],
    ['j', range(int(0), lastKey)],
  ]);
  const cover = new Cover(box);
  for (const atom of term) {
    if (atom.op !== 'edge' && atom.op !== 'sample') continue;
    const [bound] = boundsOf(atom, 'j', cover);
    const others = term.filter((a) => a !== atom);
    if (bound.kind === 'edges' && atom.op === 'edge')
      return graphRows(atom.args, bound, others, cover, place);
    if (bound.kind === 'sample' && atom.op === 'sample') return drawn(atom.args, bound, others, cover, place);
  }
  return undefined;
}

/** A side's position, or its block: every position that bounds give for a block is in it. */
const isBlock = (e: Expr, side: 'i' | 'j'): boolean =>
  e.op === 'var' ? e.name === side : e.op === 'div' && isConst(e.args[1]) && isBlock(e.args[0], side);

const isFixed = (b: Bound): boolean =>
  ![b.lo, b.hi].some((e) => some(e, (n) => n.op === 'var' && n.name !== 'member'));

function keysOfMembers(bound: Exclude<Bound, { kind: 'interval' }>, place: Place): Family['keysOf'] {
  const tape = tapeAt([bound.lo, bound.hi], place);
  const slot = tape.slot('member');
  return (lo, hi, first, last) => {
    tape.set('i.lo', first);
    tape.set('i.hi', last);
    if (slot >= 0) tape.registers[slot] = lo;
    tape.run(place.inputs);
    const [x, y] = [tape.result(0), tape.result(1)];
    if (lo === hi) return { lo: x, hi: y };
    // Both ends rise or fall with the member, so those of the first and the last hold those between.
    if (slot >= 0) tape.registers[slot] = hi;
    tape.run(place.inputs);
    return { lo: Math.min(x, tape.result(0)), hi: Math.max(y, tape.result(1)) };
  };
}

function graphRows(
  args: readonly Expr[],
  bound: Bound & { readonly kind: 'edges' },
  others: NeedTerm,
  cover: Cover,
  place: Place,
): Family {
  const { inputs } = place;
  const [, , a, b] = args;
  const graph = inputs.get(bound.input) as BoundGraph;
  const rows = tapeAt([bound.batch, bound.head, bound.rowLo, bound.rowHi], place);
  const rowsAt = (first: number, last: number): readonly [start: number, lo: number, hi: number] => {
    rows.set('i.lo', first);
    rows.set('i.hi', last);
    rows.run(inputs);
    const start = (rows.result(0) * graph.heads + rows.result(1)) * (graph.rows + 1);
    return [start, Math.max(rows.result(2), 0), Math.min(rows.result(3), graph.rows - 1)];
  };
  const [found] = boundsOf(eq(a, ROW), 'i', cover);
  const bounded = found.kind === 'interval' && !isInfinite(found.lo) && !isInfinite(found.hi);
  const own = a.op === 'var';
  const queriesOf = bounded && !own ? tapeAt([found.lo, found.hi], place) : undefined;
  return {
    rest: [...others, eq(a, ROW), eq(b, MEMBER)],
    certain: others.length === 0 && isBlock(a, 'i') && isBlock(b, 'j'),
    others,
    fixed: isFixed(bound),
    members: graph.cols,
    keysOf: keysOfMembers(bound, place),
    each: (first, last, visit) => {
      const [start, lo, hi] = rowsAt(first, last);
      for (let row = lo; row <= hi; row++) {
        const end = graph.rowPtr[start + row + 1];
        if (graph.rowPtr[start + row] === end) continue;
        let [from, to] = own ? [row, row] : [first, last];
        if (queriesOf) {
          queriesOf.set('row', row);
          queriesOf.run(inputs);
          [from, to] = [Math.max(first, queriesOf.result(0)), Math.min(last, queriesOf.result(1))];
        }
        for (let n = graph.rowPtr[start + row]; n < end; n++) {
          if (visit(graph.colIdx[n], row, from, to)) return;
        }
      }
    },
    span: (first, last) => {
      const [start, lo, hi] = rowsAt(first, last);
      let [least, most] = [Infinity, -Infinity];
      for (let row = lo; row <= hi; row++) {
        const [from, end] = [graph.rowPtr[start + row], graph.rowPtr[start + row + 1]];
        if (from === end) continue;
        least = Math.min(least, graph.colIdx[from]);
        most = Math.max(most, graph.colIdx[end - 1]);
      }
      return { lo: least, hi: most };
    },
  };
}

function drawn(
  [x]: readonly Expr[],
  bound: Bound & { readonly kind: 'sample' },
  others: NeedTerm,
  cover: Cover,
  place: Place,
): Family {
  const { args } = bound;
  const { inputs } = place;
  const ranges = args.map((e) => cover.range(e));
  const hull = tapeAt([...ranges.map((r) => r.lo), ...ranges.map((r) => r.hi)], place);
  const own = tapeAt(args, place);
  /** The arguments of queries that all have the same. */
  const argumentsOf = (first: number, last: number): readonly number[] | undefined => {
    if (first === last) {
      own.set('i', first);
      own.run(inputs);
      return args.map((_, n) => own.result(n));
    }
    hull.set('i.lo', first);
    hull.set('i.hi', last);
    hull.run(inputs);
    const lo = args.map((_, n) => hull.result(n));
    return lo.every((y, n) => y === hull.result(args.length + n)) ? lo : undefined;
  };
  const each = (first: number, last: number, visit: VisitMember): boolean => {
    const same = argumentsOf(first, last);
    if (!same) {
      const at = roundBetween(first, last);
      return each(first, at - 1, visit) || each(at, last, visit);
    }
    const [count, below, seed, ...keys] = same;
    for (let n = 0; n < Math.min(count, below); n++) {
      if (visit(permute(n, below, seed, keys), 0, first, last)) return true;
    }
    return false;
  };
  const most = tapeAt([ranges[1].hi], place);
  return {
    rest: [...others, eq(x, MEMBER)],
    certain: others.length === 0 && isBlock(x, 'j'),
    others,
    fixed: isFixed(bound),
    members: Infinity,
    keysOf: keysOfMembers(bound, place),
    each: (first, last, visit) => void each(first, last, visit),
    span: (first, last) => {
      most.set('i.lo', first);
      most.set('i.hi', last);
      most.run(inputs);
      return { lo: 0, hi: most.result(0) - 1 };
    },
  };
}
