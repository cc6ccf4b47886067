import { digitsOf, regionsOf, stridesFor, type Digits, type Region } from './digits.js';
import { mentions } from './expr.js';
import { familyOf, type Family } from './needs-families.js';
import { compileTermSearch, type SearchState, type TermSearch } from './needs-search.js';
import { joinOf, type Join } from './needs-join.js';
import { compileSide, type SideSearch } from './needs-side.js';
import type { NeedTerm, Place } from './needs-terms.js';

/** One term made ready to search. */
export interface CompiledNeed {
  readonly term: NeedTerm;
  readonly queries: Digits;
  readonly keys: Digits;
  readonly sideQueries: SideSearch;
  readonly sideKeys: SideSearch;
  readonly search: TermSearch;
  readonly family: Family | undefined;
  /** What to do where the search finds no order. */
  readonly join: Join | undefined;
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
      term,
      queries,
      keys,
      family,
      join: family ? undefined : joinOf(term, keys, place),
      sideQueries: compileSide(term, queries, place),
      sideKeys: compileSide(term, keys, place),
      search,
      coarse: family ? lazily(() => compileTermSearch(family.others, queries, keys, place)) : () => search,
    };
  });
  return compiled.sort((a, b) => rankOf(a) - rankOf(b));
}

/** Terms that take most keys at once leave less to look at for the others; families are enumerated anyway. */
function rankOf({ term, family, keys }: CompiledNeed): number {
  if (family) return 4;
  if (!term.some((a) => mentions(a, 'j'))) return 0;
  if (keys.strides.length > 1) return 2;
  return term.some((a) => mentions(a, 'j') && !mentions(a, 'i')) ? 3 : 1;
}

function lazily<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

/** Conditions that say how a side is divided: of the queries', only those on them alone. */
const sided = (term: NeedTerm, side: 'i' | 'j'): NeedTerm =>
  side === 'j' ? term : term.filter((a) => !mentions(a, 'j'));

/** Tests of one side's conditions: queries are divided by them, of keys none is left that can't be needed. */
const MOST_QUERY_TESTS = 4096;
export const MOST_KEY_TESTS = 1_000_000;
/** Queries that surely fulfil the conditions on them alone, tried before all together. */
const EXAMPLES = 3;

/**
 * The queries of a term: regions where its conditions on them alone hold, or all, where these are too many. All keys of
 * all regions together are the term's keys.
 */
export function queryRegions(
  need: CompiledNeed,
  first: number,
  last: number,
  state: SearchState,
): readonly Region[] {
  const all = regionsOf(need.queries, first, last);
  const count = (): void => void state.steps++;
  const own = need.sideQueries.regions(all, MOST_QUERY_TESTS, count);
  if (own.length <= MOST_QUERY_REGIONS) return own;
  const examples = Array.from({ length: EXAMPLES }, (_, n) =>
    need.sideQueries.example(own[Math.floor(((n + 0.5) * own.length) / EXAMPLES)], count),
  );
  return [...examples.filter((e) => e !== undefined), ...all];
}

/** The keys lo … hi that a term's conditions on keys alone allow. */
export function keyRegions(
  need: CompiledNeed,
  lo: number,
  hi: number,
  most: number,
  state: SearchState,
): readonly Region[] {
  return need.sideKeys.regions(regionsOf(need.keys, lo, hi), most, () => void state.steps++);
}
