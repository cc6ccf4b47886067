import { isConst } from '../../ir/build.js';
import type { Edges, Rule } from '../../ir/edges.js';
import type { Expr } from '../../ir/expr.js';
import { printExpr } from '../../print/expression.js';
import { conditionBody } from './body.js';
import { pairPosition, type Scope } from './scope.js';
import { call, chain, comment, indent, infix, Level, primary, returned, type Text } from './text.js';

/** Edges as Python functions: one for each rule, `mask_mod`, and `multiplicity` where a pair may count more than once. */

export interface PrintedRules {
  /** False where every pair is an edge: there is no `mask_mod` then. */
  readonly masked: boolean;
  /** There is a function `multiplicity`. */
  readonly counted: boolean;
}

export function printRules(edges: Edges, scope: Scope): PrintedRules {
  const masked = !alwaysHolds(edges);
  const counted = mostOf(edges) > 1;
  if (!masked && !counted) return { masked, counted };
  const { parts, restricted } = printParts(edges, counted, scope);
  if (masked) {
    const body = maskBody(restricted, parts);
    define('mask_mod', ['b', 'h', 'q_idx', 'kv_idx'], [pairPosition(scope), ...body], scope);
  }
  if (counted) {
    // Where the pattern's own restriction fails there is no edge, so it need not be looked at again.
    define(
      'multiplicity',
      PAIR,
      ['# How often an edge counts.', ...countBody(undefined, parts, scope)],
      scope,
    );
  }
  return { masked, counted };
}

/** Every condition that says where edges are. */
export function conditionsOf(edges: Edges): readonly Expr[] {
  const inner = edges.parts.flatMap((p) => (p.kind === 'rule' ? [p.when] : conditionsOf(p)));
  return edges.restrict ? [edges.restrict, ...inner] : inner;
}

function alwaysHolds(edges: Edges): boolean {
  if (edges.restrict && !isConst(edges.restrict, 1)) return false;
  return edges.parts.some((p) => (p.kind === 'rule' ? isConst(p.when, 1) : alwaysHolds(p)));
}

/** The most that a pair may count. */
function mostOf(part: Edges | Rule): number {
  if (part.kind === 'rule') return 1;
  const most = part.parts.map(mostOf);
  return part.overlaps === 'add' ? most.reduce((a, b) => a + b, 0) : Math.min(1, Math.max(0, ...most));
}

const PAIR = ['b', 'h', 'i', 'j'] as const;
const onPair = (name: string): Text => call(name, PAIR);

/** Names of a part's functions. */
interface PrintedPart {
  readonly mask: string;
  /** The function that counts, or says whether there is an edge where it counts at most once. */
  readonly count: string;
}

interface PrintedParts {
  readonly parts: readonly PrintedPart[];
  /** The restriction's function. */
  readonly restricted: string | undefined;
}

function printParts(edges: Edges, counted: boolean, scope: Scope): PrintedParts {
  const parts = edges.parts.map((p) =>
    p.kind === 'rule' ? printRule(p, scope) : printNested(p, counted, scope),
  );
  if (edges.restrict === undefined || isConst(edges.restrict, 1)) return { parts, restricted: undefined };
  const restricted = scope.names.take('restricted');
  const axes = (scope.pattern.grid ?? []).map((g) => g.name);
  const about = comment(clipped(`restrict ${printExpr(edges.restrict, { axes })}`));
  define(restricted, PAIR, conditionBody(edges.restrict, scope), scope, about);
  return { parts, restricted };
}

function printRule(rule: Rule, scope: Scope): PrintedPart {
  const name = scope.names.take(rule.label);
  define(name, PAIR, conditionBody(rule.when, scope), scope, comment(clipped(rule.origin.text)));
  return { mask: name, count: name };
}

function printNested(edges: Edges, counted: boolean, scope: Scope): PrintedPart {
  const counts = counted && mostOf(edges) > 1;
  const { parts, restricted } = printParts(edges, counts, scope);
  const mask = scope.names.number('part_');
  define(mask, PAIR, maskBody(restricted, parts), scope);
  if (!counts) return { mask, count: mask };
  const count = scope.names.number('count_');
  define(count, PAIR, countBody(restricted, parts, scope), scope);
  return { mask, count };
}

/** Parts beyond which a loop calls them: Python's compiler goes one call deeper for each link of a chain. */
const MOST_LINKS = 16;

function maskBody(restricted: string | undefined, parts: readonly PrintedPart[]): readonly string[] {
  const within = (mask: Text): readonly string[] => {
    if (restricted === undefined) return returned(mask);
    const whole = returned(chain(onPair(restricted), '&', mask));
    if (whole.length === 1) return whole;
    return [...returned(mask, 'mask = '), `return mask & ${onPair(restricted).text}`];
  };
  if (parts.length === 0) return ['return j < 0'];
  if (parts.length <= MOST_LINKS) {
    const [first, ...rest] = parts.map((p) => onPair(p.mask));
    return within(rest.reduce((mask, p) => chain(mask, '|', p), first));
  }
  return [
    'mask = j < 0',
    `for rule in (${parts.map((p) => p.mask).join(', ')}):`,
    ...indent(['mask = mask | rule(b, h, i, j)']),
    ...returned(restricted === undefined ? primary('mask') : chain(onPair(restricted), '&', primary('mask'))),
  ];
}

function countBody(
  restricted: string | undefined,
  parts: readonly PrintedPart[],
  scope: Scope,
): readonly string[] {
  const counts = parts.map((p) => primary(`${onPair(p.count).text}.to(${scope.int})`));
  const within = (sum: Text): readonly string[] =>
    returned(restricted === undefined ? sum : call('torch.where', [onPair(restricted), sum, '0']));
  if (parts.length <= MOST_LINKS) {
    const [first, ...rest] = counts;
    return within(
      rest.reduce((sum, c) => ({ ...infix(sum, '+', c, Level.Sum), chain: joined(sum, c) }), first),
    );
  }
  return [
    'count = 0',
    `for rule in (${parts.map((p) => p.count).join(', ')}):`,
    ...indent([`count = count + rule(b, h, i, j).to(${scope.int})`]),
    ...within(primary('count')),
  ];
}

const joined = (sum: Text, next: Text): NonNullable<Text['chain']> => ({
  operator: '+',
  parts: [...(sum.chain?.parts ?? [sum.text]), next.text],
});

/** Puts a function into `build`. */
export function define(
  name: string,
  parameters: readonly string[],
  body: readonly string[],
  scope: Scope,
  about: readonly string[] = [],
): void {
  scope.lines.push('', `def ${name}(${parameters.join(', ')}):`, ...indent([...about, ...body]), '');
}

const LONGEST_COMMENT = 400;
const clipped = (text: string): string =>
  text.length > LONGEST_COMMENT ? `${text.slice(0, LONGEST_COMMENT)} …` : text;
