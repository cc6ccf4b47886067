import { all, and, eq, int, isConst, le, lt, mul, not, TRUE, variable } from '../ir/build.js';
import { same, type Expr } from '../ir/expr.js';
import { makeSegment, conditionOf, type Term } from '../ir/segment.js';
import {
  MOST_BOX_ROWS,
  type GatherPass,
  type Pass,
  type QuerySpace,
  type Schedule,
  type Segment,
  type Space,
  type TilePass,
} from '../ir/schedule.js';
import { areApart } from './divide-graphs.js';
import { kernelRanges } from './kernel-range.js';
import { neighboursOf, type Found } from './neighbours.js';
import {
  keySpace,
  onGrid,
  querySpace,
  refinement,
  type Chosen,
  type Shaped,
  type Strategy,
} from './spaces.js';

/** A strategy carried out: terms gathered into passes by query space, and into segments by key space. */

/** Of a run in parts: the key is one of those at hand. */
const AT_HAND: readonly Expr[] = [
  le(variable('window.lo'), variable('j')),
  lt(variable('j'), variable('window.hi')),
];

interface SegmentDraft {
  readonly keys: Chosen;
  readonly group: number;
  readonly terms: Term[];
}

interface PassDraft {
  readonly queries: Chosen<QuerySpace>;
  readonly segments: SegmentDraft[];
}

export function buildSchedule(
  terms: readonly Shaped[],
  strategy: Strategy,
  axes: number,
  windows: boolean,
): Schedule {
  const atHand = windows ? AT_HAND : [];
  const refined = refinement(terms);
  const gathered = strategy === 'own' || strategy === 'divided' || onGrid(strategy);
  const gathers: ({ readonly shaped: Shaped } & Found)[] = [];
  const drafts: PassDraft[] = [];
  for (const s of terms) {
    const found = gathered && !s.dense ? neighboursOf(s.term) : undefined;
    if (found) {
      gathers.push({ shaped: s, ...found });
      continue;
    }
    const queries = querySpace(s, strategy, refined, axes);
    const keys = keySpace(s, queries.space, strategy);
    let pass = drafts.find((d) => sameSpace(d.queries.space, queries.space));
    if (!pass) drafts.push((pass = { queries, segments: [] }));
    const segment = pass.segments.find((d) => d.group === s.group && sameSpace(d.keys.space, keys.space));
    if (segment) segment.terms.push(s.term);
    else pass.segments.push({ keys, group: s.group, terms: [s.term] });
  }
  // Passes over every row come first: they initialise (out, lse).
  drafts.sort((a, b) => Number(isComplete(b.queries.space)) - Number(isComplete(a.queries.space)));

  // Under `merge` a pair belongs to the first segment that serves it.
  const served = new Map<number, Expr[]>();
  const claim = (group: number, own: readonly Expr[]): readonly Expr[] => {
    const earlier = served.get(group) ?? [];
    served.set(group, [...earlier, ...own]);
    return earlier;
  };
  const tiles = drafts.map((d): TilePass => finishPass(d, axes, atHand, claim));
  const gatherPasses = gathers.map(({ shaped, neighbours, consumed }): GatherPass => {
    const own = conditionOf(shaped.term);
    const earlier = claim(shaped.group, [own]);
    const keep = all([
      ...shaped.term.atoms.filter((a) => !consumed.includes(a)),
      ...earlier.filter((e) => !areApart(e, own)).map(not),
      ...atHand,
    ]);
    return {
      kind: 'gather',
      neighbours,
      keep,
      labels: [shaped.term.label],
      sources: [shaped.term.source],
      complete: true,
    };
  });
  const passes: readonly Pass[] = [...tiles, ...gatherPasses];
  return { name: strategy, when: whenAllowed(strategy, axes), passes, ranges: tiles.flatMap(kernelRanges) };
}

function whenAllowed(strategy: Strategy, axes: number): Expr {
  if (!onGrid(strategy)) return TRUE;
  const square = eq(variable('rows'), variable('keys'));
  if (strategy === 'grid' || axes < 2) return square;
  // Kernels find the cells of boxes by divisions that are right up to so many rows.
  const rows = Array.from({ length: axes - 1 }, (_, n) => variable(`size.${n}`)).reduce(mul);
  return and(square, le(rows, int(MOST_BOX_ROWS)));
}

function finishPass(
  draft: PassDraft,
  axes: number,
  atHand: readonly Expr[],
  claim: (group: number, own: readonly Expr[]) => readonly Expr[],
): TilePass {
  let lists = 0;
  const number = <S extends Space>(space: S): S =>
    space.kind === 'list' ? { ...space, list: lists++ } : space;
  const queries = number(draft.queries.space);
  const segments: Segment[] = draft.segments.map((d) => {
    const earlier = claim(
      d.group,
      d.terms.map((t) => conditionOf(t)),
    );
    const consumed = [...draft.queries.consumed, ...d.keys.consumed];
    const terms = d.terms.map((t) => ({ ...t, atoms: [...t.atoms, ...atHand] }));
    return makeSegment(terms, queries, number(d.keys.space), axes, earlier, consumed);
  });
  const byKernel = queries.kind !== 'list' && segments.every((s) => s.intervals !== undefined);
  return {
    kind: 'tiles',
    queries,
    segments,
    plan: byKernel ? 'kernel' : 'host',
    complete: isComplete(queries),
  };
}

/** Does the space hold every query row? */
function isComplete(space: Space): boolean {
  if (space.kind === 'grid') return true;
  return space.kind === 'line' && (space.name === 'rows' || !isConst(space.classes, 1));
}

export function sameSpace(a: Space, b: Space): boolean {
  if (a.kind === 'list') return b.kind === 'list' && same(a.condition, b.condition);
  if (a.kind === 'grid') return b.kind === 'grid';
  if (a.kind === 'box')
    return (
      b.kind === 'box' && a.lo.every((x, n) => same(x, b.lo[n])) && a.hi.every((x, n) => same(x, b.hi[n]))
    );
  return (
    b.kind === 'line' &&
    same(a.position, b.position) &&
    same(a.size, b.size) &&
    same(a.classes, b.classes) &&
    same(a.residue, b.residue)
  );
}
