import { add, all, div, int, le, lt, min, ONE, select, sub, variable, ZERO } from '../ir/build.js';
import { boundsOf } from '../ir/bounds.js';
import { mentions, same, some, type Expr } from '../ir/expr.js';
import { fromLinear, linear, reduceModulo } from '../ir/linear.js';
import { isInfinite } from '../ir/interval.js';
import { Cover } from '../ir/range.js';
import type { Term } from '../ir/segment.js';
import { boxOfWholeSide } from '../ir/space.js';

/** What a term's conditions say about index spaces. */

/** (i and j in a sum) mod m = e: rows of a residue class see keys of one class. */
export interface PairLattice {
  readonly atom: Expr;
  readonly modulus: Expr;
  /** The key's residue, given variable `i`'s residue in place of i. */
  readonly keyResidue: (queryResidue: Expr) => Expr;
}

/** A condition on one side alone that makes its positions periodic. */
export interface Periodic {
  readonly atom: Expr;
  readonly period: Expr;
  readonly start: Expr;
  readonly step: Expr;
  readonly count: Expr;
  /** True for plain `x mod m = e`. */
  readonly lattice: boolean;
}

/** How one side of a term is best indexed. */
export type SideForm =
  | { readonly kind: 'rows' }
  | { readonly kind: 'periodic'; readonly form: Periodic }
  | { readonly kind: 'list'; readonly atoms: readonly Expr[] };

const free = (e: Expr): boolean => !mentions(e, 'i') && !mentions(e, 'j');

/** `x mod m = e` with m and e free of both sides, and x whatever. */
function modulusOf(
  atom: Expr,
): { readonly value: Expr; readonly modulus: Expr; readonly equals: Expr } | undefined {
  if (atom.op !== 'eq') return undefined;
  for (const [l, r] of [atom.args, [atom.args[1], atom.args[0]]]) {
    if (l.op === 'mod' && free(l.args[1]) && free(r))
      return { value: l.args[0], modulus: l.args[1], equals: r };
  }
  return undefined;
}

/** The coefficient of a side's position in a sum, if the sum is ± it plus free terms (and ± the other side's position). */
function coefficientOf(e: Expr, side: 'i' | 'j'): number | undefined {
  const { terms } = linear(e);
  const mine = terms.filter((t) => mentions(t.term, side));
  if (mine.length !== 1 || mine[0].term.op !== 'var' || mine[0].term.name !== side) return undefined;
  return Math.abs(mine[0].coefficient) === 1 ? mine[0].coefficient : undefined;
}

/** True if every head and batch has the same value: the number of residue classes is one for the whole dispatch. */
const isUniform = (e: Expr): boolean =>
  !some(e, (n) => ('name' in n && 'args' in n) || (n.op === 'var' && n.name !== 'heads' && n.name !== 'dim'));

export function pairLattice(term: Term): PairLattice | undefined {
  for (const atom of term.atoms) {
    const m = modulusOf(atom);
    if (!m || !isUniform(m.modulus)) continue;
    const [ci, cj] = [coefficientOf(m.value, 'i'), coefficientOf(m.value, 'j')];
    if (ci === undefined || cj === undefined) continue;
    const rest = fromLinear({
      terms: linear(m.value).terms.filter(
        (t) => !(t.term.op === 'var' && (t.term.name === 'i' || t.term.name === 'j')),
      ),
      constant: linear(m.value).constant,
    });
    // ci·i + cj·j + rest ≡ e, so j ≡ cj·(e − rest − ci·i).
    const keyResidue = (i: Expr): Expr => {
      const others = sub(sub(m.equals, rest), ci === 1 ? i : sub(ZERO, i));
      return reduceModulo(cj === 1 ? others : sub(ZERO, others), m.modulus);
    };
    return { atom, modulus: m.modulus, keyResidue };
  }
  return undefined;
}

const ceilDiv = (a: Expr, b: Expr): Expr => div(add(a, sub(b, ONE)), b);

/** Periodic forms of conditions on `side` alone: see `periodicSpace`. */
export function periodicOf(atom: Expr, side: 'i' | 'j'): Periodic | undefined {
  const m = modulusOf(atom);
  const position = variable(side);
  if (m && m.value.op === 'mod' && same(m.value.args[0], position) && free(m.value.args[1])) {
    // (x mod w) mod r = o: members o, o + r, … below w.
    const [period, step, start] = [m.value.args[1], m.modulus, m.equals];
    const legal = all([le(ZERO, start), lt(start, step), lt(start, period)]);
    return {
      atom,
      period,
      step,
      start: select(legal, start, ZERO),
      count: select(legal, ceilDiv(sub(period, start), step), ZERO),
      lattice: false,
    };
  }
  if (m && coefficientOf(m.value, side) === 1) {
    const offset = sub(m.value, position);
    const residue = reduceModulo(sub(m.equals, offset), m.modulus);
    // The atom itself stays: it still says no where e is not a remainder of m.
    return { atom, period: m.modulus, step: ONE, start: residue, count: ONE, lattice: true };
  }
  // e ≤ x mod s: the stripe e … s − 1; x mod s ≤ e: the stripe 0 … e.
  if (atom.op === 'le' || atom.op === 'lt') {
    const [a, b] = atom.args;
    const strict = atom.op === 'lt' ? 1 : 0;
    const stripe = (x: Expr): x is Expr & { args: readonly Expr[] } =>
      x.op === 'mod' && same(x.args[0], position) && free(x.args[1]);
    if (stripe(b) && free(a)) {
      const s = b.args[1];
      const first = add(a, int(strict));
      const start = min(select(lt(first, ZERO), ZERO, first), sub(s, ONE));
      const count = select(lt(first, s), sub(s, start), ZERO);
      return { atom, period: s, start, step: ONE, count, lattice: false };
    }
    if (stripe(a) && free(b)) {
      const s = a.args[1];
      const end = sub(add(b, ONE), int(strict));
      const count = select(lt(ZERO, end), min(end, s), ZERO);
      return { atom, period: s, start: ZERO, step: ONE, count, lattice: false };
    }
  }
  return undefined;
}

/** Query rows lo … hi that see keys everywhere: few rows with long lists of keys. */
export interface LongRows {
  readonly lo: Expr;
  readonly hi: Expr;
  readonly atoms: readonly Expr[];
}

/** The term's query rows, where conditions on i alone confine them to an interval and nothing confines their keys. */
export function longRows(term: Term, axes: number): LongRows | undefined {
  if (axes > 0) return undefined;
  const cover = new Cover(new Map([...boxOfWholeSide('i', axes), ...boxOfWholeSide('j', axes)]));
  const atoms = term.atoms.filter((a) => mentions(a, 'i') && !mentions(a, 'j'));
  const rest = all(term.atoms.filter((a) => !atoms.includes(a)));
  const endless = boundsOf(rest, 'j', cover).some(
    (b) => b.kind === 'interval' && isInfinite(b.lo) && isInfinite(b.hi),
  );
  const found = boundsOf(all(atoms), 'i', cover);
  const [own] = found;
  if (!endless || found.length !== 1 || own.kind !== 'interval' || isInfinite(own.hi)) return undefined;
  return { lo: isInfinite(own.lo) ? ZERO : own.lo, hi: own.hi, atoms };
}

/** How the conditions on `side` alone index it. */
export function sideForm(term: Term, side: 'i' | 'j', axes: number): SideForm {
  const other = side === 'i' ? 'j' : 'i';
  const cover = new Cover(new Map([...boxOfWholeSide('i', axes), ...boxOfWholeSide('j', axes)]));
  const mine = term.atoms.filter((a) => mentions(a, side) && !mentions(a, other));
  // Intervals need no space of their own.
  const scattered = mine.filter((a) => {
    const targets = [side, ...Array.from({ length: axes }, (_, n) => `${side}.${n}`)];
    return !targets.some((t) => {
      const b = boundsOf(a, t, cover);
      return (
        b.length === 0 ||
        (b.length === 1 && b[0].kind === 'interval' && !(isInfinite(b[0].lo) && isInfinite(b[0].hi)))
      );
    });
  });
  if (scattered.length === 0) return { kind: 'rows' };
  if (scattered.length === 1) {
    const form = periodicOf(scattered[0], side);
    if (form) return { kind: 'periodic', form };
  }
  return { kind: 'list', atoms: scattered };
}
