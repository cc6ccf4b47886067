import { argsOf, type Expr } from '../../ir/expr.js';
import { printDag } from './dag.js';
import { uniformText, type Rounding } from './numbers.js';
import { printRead, printSample } from './reads.js';
import type { Scope } from './scope.js';
import { primary, returned, type Text } from './text.js';
import { printTensorOperation } from './tensors.js';

export interface PrintedValues {
  /** Coordinates and local names. */
  readonly lines: readonly string[];
  /** One for each root. */
  readonly values: readonly Text[];
}

/** Expressions inside a function of `b`, `h`, `i`, `j` (and `score`), whichever they depend on. */
export function printValues(roots: readonly Expr[], rounding: Rounding, scope: Scope): PrintedValues {
  const coordinates = new Set<string>();
  const interned = roots.map(scope.intern);
  const leaf = (e: Expr): Text | undefined => {
    if (scope.facts(e).kind !== 'tensor') return uniformText(e, rounding, scope);
    if (e.op === 'var') return primary(variableText(e.name, coordinates, scope));
    // What a sample depends on is printed where it is drawn; x is printed here.
    return undefined;
  };
  const operation = (e: Expr, args: readonly Text[]): Text => {
    switch (e.op) {
      case 'sample':
        return printSample(e, args[0], scope, printValues);
      case 'table':
      case 'edge':
      case 'weight':
      case 'table_min':
      case 'table_max':
      case 'edges_any':
      case 'edges_all':
        return printRead(e, args, scope);
      case 'const':
      case 'var':
      case 'param':
        throw new Error(`${e.op} is a leaf`);
      default:
        return printTensorOperation(e, args, scope);
    }
  };
  const printed = printDag(interned, {
    leaf,
    operation,
    argsOf: (e) => (e.op === 'sample' ? e.args.slice(0, 1) : argsOf(e)),
    name: () => scope.names.number('t'),
  });
  return {
    lines: [
      ...coordinateLines(coordinates, scope),
      ...printed.lets.flatMap((l) => returned(l.text, `${l.name} = `)),
    ],
    values: printed.values,
  };
}

/** The body of a function that returns a condition of a pair: always a tensor. */
export function conditionBody(condition: Expr, scope: Scope): readonly string[] {
  const { lines, values } = printValues([condition], 'f32', scope);
  const [value] = values;
  if (scope.facts(condition).kind === 'tensor') return [...lines, ...returned(value)];
  if (condition.op === 'const') return [`return j ${condition.value ? '>=' : '<'} 0`];
  return [...lines, `return (j >= 0) & (${value.text})`];
}

function variableText(name: string, coordinates: Set<string>, scope: Scope): string {
  switch (name) {
    case 'batch':
      return 'b';
    case 'head':
      return 'h';
    case 'i':
    case 'j':
    case 'score':
      return name;
  }
  coordinates.add(name);
  return coordinateName(name, scope);
}

/** `i.0` is `i_y` */
function coordinateName(name: string, scope: Scope): string {
  const [side, axis] = name.split('.');
  return `${side}_${scope.pattern.grid?.[Number(axis)].name ?? axis}`;
}

/** Coordinates of positions, the last axis fastest. */
function coordinateLines(coordinates: ReadonlySet<string>, scope: Scope): readonly string[] {
  return [...coordinates].sort().map((name) => {
    const [side, axis] = name.split('.');
    const n = Number(axis);
    const faster = scope.axes.slice(n + 1);
    const step =
      faster.length === 0 ? side : `${side} // ${faster.length > 1 ? `(${faster.join(' * ')})` : faster[0]}`;
    return `${coordinateName(name, scope)} = ${n === 0 ? step : `${step} % ${scope.axes[n]}`}`;
  });
}
