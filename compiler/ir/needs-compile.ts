import { digitsOf, regionsOf, stridesFor, type Digits, type Region } from './digits.js';
import { mentions } from './expr.js';
import { familyOf, type Family } from './needs-families.js';
import { compileTermSearch, type SearchState, type TermSearch } from './needs-search.js';
import { compileSide } from './needs-side.js';
import type { NeedTerm, Place } from './needs-terms.js';

/** One term made ready to search. */
export interface CompiledNeed {
  readonly queries: Digits;
  readonly keys: Digits;
  readonly sideQueries: ReturnType<typeof compileSide>;
  readonly sideKeys: ReturnType<typeof compileSide>;
  readonly search: TermSearch;
  readonly family: Family | undefined;
  /** The same, but for what a family says: for intervals. */
  readonly coarse: () => TermSearch;
}

/** Regions of queries past which a term's queries are taken together. */
const MOST_QUERY_REGIONS = 32;

export function compileNeeds(terms: readonly NeedTerm[], place: Place): readonly CompiledNeed[] {
  const length = place.shape.keys[place.batch];
  const compiled = terms.map((term): CompiledNeed => {
    const family = familyOf(term, place);
    const strides = (side: 'i' | 'j'): readonly number[] =>
      family ? [1] : stridesFor(sided(term, side), side, length);
    const queries = digitsOf('i', strides('i'));
    const keys = digitsOf('j', strides('j'));
    const search = compileTermSearch(family?.rest ?? term, queries, keys, place);
    return {
      queries,
      keys,
      family,
      sideQueries: compileSide(term, queries, place),
      sideKeys: compileSide(term, keys, place),
      search,
      coarse: family ? lazily(() => compileTermSearch(family.others, queries, keys, place)) : () => search,
    };
  });
  // Terms whose keys are dense leave less to look at for the others; families are enumerated whatever is left.
  const rank = (n: CompiledNeed): number => (n.family ? 2 : n.keys.strides.length > 1 ? 1 : 0);
  return compiled.sort((a, b) => rank(a) - rank(b));
}

function lazily<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

/** Conditions that say how a side is divided: of the queries', only those on them alone. */
const sided = (term: NeedTerm, side: 'i' | 'j'): NeedTerm =>
  side === 'j' ? term : term.filter((a) => !mentions(a, 'j'));

/** The queries of a term: regions where its conditions on them alone hold, or all, where these are too many. */
export function queryRegions(
  need: CompiledNeed,
  first: number,
  last: number,
  state: SearchState,
): readonly Region[] {
  const all = regionsOf(need.queries, first, last);
  const own = need.sideQueries(all, () => state.steps++);
  return own.length <= MOST_QUERY_REGIONS ? own : all;
}
