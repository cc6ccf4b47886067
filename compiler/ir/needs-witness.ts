import { add, all, int, isConst, make, mod, sub, variable } from './build.js';
import { boundsOf } from './bounds.js';
import { periodsOf } from './digits.js';
import { mentions, same, some, type Expr } from './expr.js';
import { fromLinear, linear } from './linear.js';
import { isInfinite, range } from './interval.js';
import { Cover } from './range.js';
import { simplify } from './simplify.js';
import type { NeedTerm } from './needs-terms.js';

/**
 * Witnesses: for a key j, a query i(j) that is likely to attend to it if any does. Put in place of i they leave a
 * condition on j alone, which `cover` proves for many keys at once. They need not be right, only tried: what they
 * prove is proved, and what they don't is searched for.
 *
 * Over variables: `j`; `q.lo`, `q.hi`, the ends of the queries looked at; `probe`, a query of theirs; `flip`, bits.
 */
export const PROBE = { op: 'var', type: 'int', name: 'probe' } as const;
export const FLIP = { op: 'var', type: 'int', name: 'flip' } as const;

const I = variable('i');
const J = variable('j');
const Q_LO = variable('q.lo');
const Q_HI = variable('q.hi');

/** Witnesses for a term, those that help most often first. */
const MOST_WITNESSES = 24;
/** Alternatives of a term's bounds that suggest witnesses. */
const MOST_BOUNDS = 3;
const MOST_MODULI = 4;

/** i ≡ residue (mod modulus), the residue being an expression over j. */
interface Congruence {
  readonly modulus: Expr;
  readonly residue: Expr;
}

export function witnessesOf(term: NeedTerm): readonly Expr[] {
  const whole = all(term);
  const bounds = boundsOf(
    whole,
    'i',
    new Cover(new Map([['i', range(variable('q.first'), variable('q.last'))]])),
  );
  const suggested = bounds
    .slice(0, MOST_BOUNDS)
    .flatMap((b) => (b.kind === 'interval' ? [b.lo, b.hi] : []))
    .filter((e) => !isInfinite(e) && mentions(e, 'j'));
  const bases = [J, Q_LO, Q_HI, ...suggested];
  const snapped = congruencesOf(term).flatMap(({ modulus, residue }) =>
    bases.flatMap((z) => [add(z, mod(sub(residue, z), modulus)), sub(z, mod(sub(z, residue), modulus))]),
  );
  const flips = some(whole, (n) => n.op === 'bitxor') ? [make('bitxor', 'int', [J, FLIP])] : [];
  const found: Expr[] = [];
  // The ends themselves are probes.
  for (const e of [J, ...suggested, ...flips, ...snapped]) {
    const plain = simplify(e);
    if (found.length < MOST_WITNESSES && !found.some((x) => same(x, plain))) found.push(plain);
  }
  return found;
}

function congruencesOf(term: NeedTerm): readonly Congruence[] {
  const found: Congruence[] = [];
  const put = (c: Congruence): void => {
    const known = found.some((x) => same(x.modulus, c.modulus) && same(x.residue, c.residue));
    if (!known && found.length < MOST_MODULI) found.push(c);
  };
  for (const atom of term) {
    if (atom.op !== 'eq') continue;
    for (const [l, e] of [atom.args, [atom.args[1], atom.args[0]]]) {
      if (l.op !== 'mod' || mentions(l.args[1], 'i') || mentions(e, 'i')) continue;
      const { terms, constant } = linear(l.args[0]);
      const own = terms.filter((t) => mentions(t.term, 'i'));
      if (own.length !== 1 || !same(own[0].term, I) || Math.abs(own[0].coefficient) !== 1) continue;
      const rest = fromLinear({ terms: terms.filter((t) => t !== own[0]), constant });
      const others = sub(e, rest);
      put({ modulus: l.args[1], residue: own[0].coefficient === 1 ? others : sub(int(0), others) });
    }
  }
  const ofKeys = new Set(periodsOf(term, 'j').periods);
  for (const p of periodsOf(term, 'i').periods) {
    if (p > 1 && ofKeys.has(p)) put({ modulus: int(p), residue: J });
  }
  return found.filter((c) => !isConst(c.modulus) || c.modulus.value > 1);
}
