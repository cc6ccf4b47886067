import { all, int, isConst } from '../ir/build.js';
import { some, type Expr } from '../ir/expr.js';
import { divides } from '../ir/linear.js';
import {
  gridSpace,
  intervalOfQueries,
  latticeOfKeys,
  latticeOfQueries,
  periodicSpace,
  residueOfQueries,
  rowsSpace,
} from '../ir/space.js';
import type { ListSpace, QuerySpace, Space } from '../ir/schedule.js';
import { boxOfKeys, type Term } from '../ir/segment.js';
import {
  longRows,
  pairLattice,
  sideForm,
  type LongRows,
  type PairLattice,
  type SideForm,
} from './recognise.js';

/** A term with what its conditions say about index spaces. */
export interface Shaped {
  readonly term: Term;
  /** Number of its group: pairs count once within a group. */
  readonly group: number;
  readonly pair: PairLattice | undefined;
  readonly query: SideForm;
  readonly key: SideForm;
  readonly usesGrid: boolean;
  /** Set where its rows are few and long. */
  readonly long: LongRows | undefined;
  /** The dense boxes of an explicit graph, which are not gathered. */
  readonly dense: boolean;
}

export function shapeTerm(term: Term, group: number, axes: number): Shaped {
  return {
    term,
    group,
    pair: pairLattice(term),
    long: longRows(term, axes),
    dense: false,
    query: sideForm(term, 'i', axes),
    key: sideForm(term, 'j', axes),
    usesGrid: term.atoms.some((a) => some(a, (n) => n.op === 'var' && /^[ij]\.\d+$/.test(n.name))),
  };
}

/** An index space and the conditions that it makes true. */
export interface Chosen<S extends Space = Space> {
  readonly space: S;
  readonly consumed: readonly Expr[];
}

const listSpace = (atoms: readonly Expr[]): Chosen<ListSpace> => {
  const space: ListSpace = { kind: 'list', list: 0, condition: all(atoms), name: 'list' };
  return { space, consumed: atoms };
};

/** Ways to choose query spaces for all terms of a pattern. */
export type Strategy =
  /** Rows in order. */
  | 'rows'
  /** Each term in the space that suits it; constant residue classes on their common refinement. */
  | 'own'
  /** Like `own`, with the dense boxes of explicit graphs as tiles and the rest of their edges gathered. */
  | 'divided'
  /** Every term on the common refinement of all residue classes. */
  | 'refined'
  /** Boxes of the token grid, and keys by those of its tiles that they reach. */
  | 'grid'
  /** Boxes of the token grid, and keys by the cells of the box that a tile reaches. */
  | 'boxes';

/** Only for grids whose tokens are all queries. */
export const onGrid = (strategy: Strategy): boolean => strategy === 'grid' || strategy === 'boxes';

/** Residue classes past which their common refinement has tiles too scattered to be worth it. */
const MOST_CLASSES = 256;

/** The modulus by which a term wants its queries divided. */
export function wantedModulus(s: Shaped): Expr | undefined {
  if (s.pair) return s.pair.modulus;
  if (s.query.kind === 'periodic' && s.query.form.lattice && isConst(s.query.form.period))
    return s.query.form.period;
  return undefined;
}

/** The least modulus that refines all those wanted, if there is one known now. */
export function refinement(terms: readonly Shaped[]): Expr | undefined {
  const wanted = terms.map(wantedModulus).filter((m) => m !== undefined);
  if (wanted.length === 0) return undefined;
  if (wanted.every((m) => isConst(m))) {
    const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
    const least = wanted.map((m) => (m as { value: number }).value).reduce((a, b) => (a / gcd(a, b)) * b);
    return least <= MOST_CLASSES ? int(least) : undefined;
  }
  const largest = wanted.find((m) => wanted.every((x) => divides(x, m)));
  return largest;
}

export function querySpace(
  s: Shaped,
  strategy: Strategy,
  refined: Expr | undefined,
  axes: number,
): Chosen<QuerySpace> {
  const rows: Chosen<QuerySpace> = { space: rowsSpace('i'), consumed: [] };
  switch (strategy) {
    case 'rows':
      return rows;
    case 'grid':
    case 'boxes':
      return { space: gridSpace(axes), consumed: [] };
    case 'refined':
      return refined && !isConst(refined, 1) ? { space: latticeOfQueries(refined), consumed: [] } : rows;
    case 'own':
    case 'divided': {
      const modulus = wantedModulus(s);
      if (modulus) {
        if (isConst(modulus, 1)) return rows;
        if (refined && divides(modulus, refined)) return { space: latticeOfQueries(refined), consumed: [] };
        // Rows of other classes would be met for nothing.
        if (!s.pair && s.query.kind === 'periodic')
          return { space: residueOfQueries(modulus, s.query.form.start), consumed: [] };
        return { space: latticeOfQueries(modulus), consumed: [] };
      }
      if (s.long) return { space: intervalOfQueries(s.long.lo, s.long.hi), consumed: [] };
      if (s.query.kind === 'list') return listSpace(s.query.atoms);
      if (s.query.kind === 'periodic') {
        const { period, start, step, count, atom } = s.query.form;
        return { space: periodicSpace('i', period, start, step, count), consumed: [atom] };
      }
      return rows;
    }
  }
}

export function keySpace(s: Shaped, queries: QuerySpace, strategy: Strategy): Chosen {
  if (s.key.kind === 'list') return listSpace(s.key.atoms);
  if (s.key.kind === 'periodic') {
    const { period, start, step, count, atom, lattice } = s.key.form;
    if (lattice) return { space: latticeOfKeys(period, start), consumed: [] };
    return { space: periodicSpace('j', period, start, step, count), consumed: [atom] };
  }
  if (
    s.pair &&
    queries.kind === 'line' &&
    !isConst(queries.modulus, 1) &&
    divides(s.pair.modulus, queries.modulus)
  ) {
    const { modulus, keyResidue } = s.pair;
    return isConst(modulus, 1)
      ? { space: rowsSpace('j'), consumed: [] }
      : { space: latticeOfKeys(modulus, keyResidue(queries.residue)), consumed: [] };
  }
  if (queries.kind === 'grid' && s.usesGrid) {
    const box = strategy === 'boxes' ? boxOfKeys(s.term, queries) : undefined;
    return { space: box ?? queries, consumed: [] };
  }
  return { space: rowsSpace('j'), consumed: [] };
}
