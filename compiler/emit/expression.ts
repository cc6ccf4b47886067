import type { InputDeclaration, ParameterDeclaration } from '../ir/edges.js';
import { argsOf, walk, type Expr, type VariableName } from '../ir/expr.js';
import { printRead } from './inputs.js';
import { Level, primary, printOperation, type Text } from './operators.js';
import type { Shader } from './shader.js';
import { floatLiteral, identifier, intLiteral } from './wgsl.js';

/** Expr → WGSL. Integers become i32, floats f32. */

export interface Printer {
  readonly shader: Shader;
  readonly inputs: readonly InputDeclaration[];
  readonly parameters: readonly ParameterDeclaration[];
  /** WGSL of a variable. */
  readonly name: (variable: VariableName) => string;
  /** Print `and` and `or` so that both sides are evaluated: for conditions that are shorter than a branch. */
  readonly flat?: boolean;
}

export interface Printed {
  /** `let` statements for what is used more than once. */
  readonly lets: readonly string[];
  /** One text for each root. */
  readonly values: readonly string[];
}

/** Prints expressions that are evaluated together. Everything is pure, so sharing may cross a `select`. */
export function printAll(roots: readonly Expr[], printer: Printer): Printed {
  const shared = intern(roots);
  const uses = new Map<Expr, number>();
  walk(shared, (e) => argsOf(e).forEach((a) => uses.set(a, (uses.get(a) ?? 0) + 1)));
  for (const root of shared) uses.set(root, (uses.get(root) ?? 0) + 1);

  const lets: string[] = [];
  const texts = new Map<Expr, Text>();
  walk(shared, (e) => {
    const text = printNode(
      e,
      argsOf(e).map((a) => texts.get(a) as Text),
      printer,
    );
    const isLeaf = e.op === 'const' || e.op === 'var' || e.op === 'param';
    if (isLeaf || (uses.get(e) ?? 0) < 2) {
      texts.set(e, text);
      return;
    }
    const name = `t${lets.length}`;
    lets.push(`let ${name} = ${text.text};`);
    texts.set(e, primary(name));
  });
  return { lets, values: shared.map((r) => (texts.get(r) as Text).text) };
}

/** The body of a function that returns one expression. */
export function printReturn(e: Expr, printer: Printer): readonly string[] {
  const { lets, values } = printAll([e], printer);
  return [...lets, `return ${values[0]};`];
}

function printNode(e: Expr, x: readonly Text[], printer: Printer): Text {
  switch (e.op) {
    case 'const':
      return e.value < 0
        ? { text: literal(e.type, e.value), level: Level.Unary }
        : primary(literal(e.type, e.value));
    case 'var':
      return primary(printer.name(e.name));
    case 'param':
      return primary(printParameter(e.name, printer));
    case 'table':
    case 'table_min':
    case 'table_max':
    case 'edge':
    case 'edges_any':
    case 'edges_all':
    case 'weight':
      return primary(
        printRead(
          e,
          x.map((t) => t.text),
          printer.shader,
          printer.inputs,
        ),
      );
    default:
      return printOperation(e, x, printer.shader, printer.flat);
  }
}

function literal(type: Expr['type'], value: number): string {
  switch (type) {
    case 'int':
      return intLiteral(value);
    case 'float':
      return floatLiteral(value);
    case 'bool':
      return value ? 'true' : 'false';
  }
}

function printParameter(name: string, { shader, parameters }: Printer): string {
  const type = parameters.find((p) => p.name === name)?.type;
  const word = type === 'float' ? 'f32' : type === 'bool' ? 'u32' : 'i32';
  const field = shader.uniform(`param_${identifier(name)}`, word, { kind: 'parameter', name });
  return type === 'bool' ? `(${field} != 0u)` : field;
}

/** The same expressions with equal parts made one object. */
function intern(roots: readonly Expr[]): readonly Expr[] {
  const known = new Map<string, Expr>();
  const numbers = new Map<Expr, number>();
  const made = new Map<Expr, Expr>();
  walk(roots, (e) => {
    const args = argsOf(e).map((a) => made.get(a) as Expr);
    const own = 'value' in e ? `#${Object.is(e.value, -0) ? '-0' : e.value}` : 'name' in e ? e.name : '';
    const key = `${e.op} ${e.type} ${own} ${args.map((a) => numbers.get(a)).join(' ')}`;
    let one = known.get(key);
    if (one === undefined) {
      one = 'args' in e ? ({ ...e, args } as Expr) : e;
      known.set(key, one);
      numbers.set(one, numbers.size);
    }
    made.set(e, one);
  });
  return roots.map((r) => made.get(r) as Expr);
}

/** Names of the variables that occur. */
export function variablesOf(roots: readonly Expr[]): ReadonlySet<VariableName> {
  const names = new Set<VariableName>();
  walk(roots, (e) => {
    if (e.op === 'var') names.add(e.name);
  });
  return names;
}
