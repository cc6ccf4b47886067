import type {
  AlignAst,
  FileAst,
  ForAst,
  IncludeAst,
  ItemAst,
  PatternAst,
  RuleAst,
} from '../../grammar/ast.js';
import { condition, listItems, scoreExpression } from './expressions.js';
import { asFloat, floorRemainder } from './functions.js';
import { bind, type Binding, type Code, type Pair, type Scope, type ValueType } from './scope.js';
import { graphOf, required, type Tables } from './tables.js';

export type Setting = number | boolean | readonly number[];

/** What a pattern is read against. */
export interface World {
  readonly files: readonly FileAst[];
  readonly tables: Tables;
  /** A pair with the shape filled in, for what is needed before any pair: list and grid sizes. */
  readonly shape: Pair;
}

/** A pattern made ready to run, each part a function of a pair. */
export interface Meaning {
  /** Multiplicity. */
  readonly edges: (pair: Pair) => number;
  readonly rules: readonly LabelledRule[];
  readonly score: Code | undefined;
  readonly sink: Code | undefined;
  readonly align: AlignAst['to'];
}

/** One rule by itself, without the pattern's restrictions: for pictures. */
export interface LabelledRule {
  readonly label: string | undefined;
  readonly holds: (pair: Pair) => number;
}

/** What the items of one pattern gather. */
interface Gathered {
  readonly parts: ((pair: Pair) => number)[];
  readonly rules: LabelledRule[];
  readonly restrictions: ((pair: Pair) => number)[];
  overlaps: 'merge' | 'add';
  align: AlignAst['to'];
  score: Code | undefined;
  sink: Code | undefined;
}

export function findPattern(world: World, name: string): PatternAst {
  for (const file of world.files) for (const p of file.patterns) if (p.name.text === name) return p;
  throw new Error(`no pattern ${name}`);
}

/** Reads a pattern; `argument` gives the binding of a parameter that is set, `from` its file. */
export function readPattern(
  pattern: PatternAst,
  world: World,
  argument: (name: string, index: number) => Binding | undefined,
): Meaning {
  let scope: Scope | undefined;
  pattern.parameters.forEach((p, n) => {
    const given = argument(p.name.text, n);
    scope = bind(scope, p.name.text, given ?? { kind: 'expression', ast: p.value, scope, type: p.type });
  });
  const out: Gathered = {
    parts: [],
    rules: [],
    restrictions: [],
    overlaps: 'merge',
    align: 'end',
    score: undefined,
    sink: undefined,
  };
  // Inputs and the grid hold for the whole pattern, wherever they stand in it.
  for (const item of pattern.items)
    if (item.kind === 'input' || item.kind === 'tokens') scope = declare(item, scope, world);
  readItems(pattern.items, scope, world, out);
  const { parts, restrictions, overlaps } = out;
  const edges = (pair: Pair): number => {
    for (const r of restrictions) if (r(pair) === 0) return 0;
    let m = 0;
    for (const part of parts) {
      m += part(pair);
      if (overlaps === 'merge' && m > 0) return 1;
    }
    return m;
  };
  return { edges, rules: out.rules, score: out.score, sink: out.sink, align: out.align };
}

function readItems(items: readonly ItemAst[], start: Scope | undefined, world: World, out: Gathered): void {
  let scope = start;
  for (const item of items) {
    switch (item.kind) {
      case 'rule':
        addRule(item, scope, out);
        break;
      case 'block':
        readItems(item.items, scope, world, out);
        break;
      case 'let':
        scope = bind(scope, item.name.text, { kind: 'expression', ast: item.value, scope, type: undefined });
        break;
      case 'restrict':
        out.restrictions.push(condition(item.condition, scope).run);
        break;
      case 'include':
        include(item, scope, world, out);
        break;
      case 'for':
        repeat(item, scope, world, out);
        break;
      case 'overlaps':
        out.overlaps = item.mode;
        break;
      case 'score':
        out.score = asFloat(scoreExpression(item.value, scope), (x) => x);
        break;
      case 'mix': {
        const sink = item.args.find((a) => a.name?.text === 'sink');
        out.sink = sink && scoreExpression(sink.value, scope);
        break;
      }
      case 'align':
        out.align = item.to;
        break;
      case 'input':
      case 'tokens':
        break;
    }
  }
}

function addRule(rule: RuleAst, scope: Scope | undefined, out: Gathered): void {
  const tests: ((pair: Pair) => boolean)[] = [];
  if (rule.range !== undefined) {
    const [from, to] = [condition(rule.range.from, scope).run, condition(rule.range.to, scope).run];
    tests.push(
      rule.range.inclusive ? (p) => from(p) <= p.j && p.j <= to(p) : (p) => from(p) <= p.j && p.j < to(p),
    );
    if (rule.range.step !== undefined) {
      const step = condition(rule.range.step, scope).run;
      tests.push((p) => floorRemainder(p.j - from(p), step(p)) === 0);
    }
  }
  if (rule.when !== undefined) {
    const when = condition(rule.when, scope).run;
    tests.push((p) => when(p) !== 0);
  }
  const [only] = tests;
  const holds = tests.length === 1 ? only : (p: Pair) => tests.every((test) => test(p));
  const part = (p: Pair): number => (holds(p) ? 1 : 0);
  out.parts.push(part);
  out.rules.push({ label: rule.label?.text, holds: part });
}

/** The other pattern, with its own restrictions and overlaps, as one part of this one. */
function include(item: IncludeAst, scope: Scope | undefined, world: World, out: Gathered): void {
  const pattern = findPattern(world, item.pattern.text);
  const inner = readPattern(pattern, world, (name, index) => {
    const named = item.args.find((a) => a.name?.text === name);
    const argument = named ?? (item.args[index]?.name === undefined ? item.args[index] : undefined);
    if (argument === undefined) return undefined;
    return { kind: 'expression', ast: argument.value, scope, type: pattern.parameters[index].type };
  });
  out.parts.push(inner.edges);
  out.rules.push(...inner.rules);
}

function repeat(item: ForAst, scope: Scope | undefined, world: World, out: Gathered): void {
  const round = (names: readonly { type: ValueType; value: number }[]): void => {
    let inner = scope;
    names.forEach((n, at) => (inner = bind(inner, item.names[at].text, { kind: 'value', ...n })));
    readItems(item.items, inner, world, out);
  };
  const known = (code: Code): { type: ValueType; value: number } => ({
    type: code.type,
    value: code.run(world.shape),
  });
  const { over } = item;
  switch (over.kind) {
    case 'range': {
      const at = (e: typeof over.from): number => condition(e, scope).run(world.shape);
      const step = over.step === undefined ? 1 : at(over.step);
      const end = at(over.to);
      for (let n = at(over.from); over.inclusive ? n <= end : n < end; n += step)
        round([{ type: 'int', value: n }]);
      break;
    }
    case 'zip': {
      const lists = over.lists.map((list) => listItems(list, scope).map(known));
      lists[0].forEach((_, n) => round(lists.map((list) => list[n])));
      break;
    }
    case 'each':
      for (const code of listItems(over.list, scope)) round([known(code)]);
      break;
  }
}

/** An input table or the grid, by name. */
function declare(item: ItemAst, scope: Scope | undefined, world: World): Scope | undefined {
  if (item.kind === 'input') {
    const name = item.name.text;
    const axes = item.axes.map((a) => (a.kind === 'name' ? a.text : ''));
    if (item.type === 'edges')
      return bind(scope, name, { kind: 'graph', graph: graphOf(name, world.tables), axes });
    const table = required(name, world.tables);
    return bind(scope, name, {
      kind: 'table',
      type: item.type,
      table,
      byRow: axes.map((a) => a === 'queries'),
    });
  }
  if (item.kind !== 'tokens') return scope;
  const given = item.axes.map((a) => a.size && condition(a.size, scope).run);
  const rest = (p: Pair): number => given.reduce((product, size) => product * (size ? size(p) : 1), 1);
  const sizes = given.map((size) => size ?? ((p: Pair) => Math.floor(p.keys / rest(p))));
  let result = scope;
  item.axes.forEach((axis, n) => {
    const stride = (p: Pair): number => sizes.slice(n + 1).reduce((product, size) => product * size(p), 1);
    result = bind(result, `axis ${axis.name.text}`, { kind: 'axis', size: sizes[n], stride });
  });
  return result;
}
