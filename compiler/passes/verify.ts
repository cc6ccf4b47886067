import type { Edges } from '../ir/edges.js';
import { argsOf, walk, type Expr, type Operator, type Type } from '../ir/expr.js';

/** What the arguments of each operator must be: a type for each, `number` for ints or floats alike, `any` for one type. */
type Signature = readonly (Type | 'number' | 'any')[];

const SIGNATURES: Record<Operator, Signature> = {
  add: ['number', 'number'],
  sub: ['number', 'number'],
  mul: ['number', 'number'],
  neg: ['number'],
  abs: ['number'],
  min: ['number', 'number'],
  max: ['number', 'number'],
  div: ['int', 'int'],
  mod: ['int', 'int'],
  bitand: ['int', 'int'],
  bitor: ['int', 'int'],
  bitxor: ['int', 'int'],
  shl: ['int', 'int'],
  shr: ['int', 'int'],
  popcount: ['int'],
  ones: ['int'],
  fdiv: ['float', 'float'],
  pow: ['float', 'float'],
  floor: ['float'],
  ceil: ['float'],
  exp: ['float'],
  log: ['float'],
  sqrt: ['float'],
  tanh: ['float'],
  to_float: ['int'],
  and: ['bool', 'bool'],
  or: ['bool', 'bool'],
  not: ['bool'],
  lt: ['number', 'number'],
  le: ['number', 'number'],
  eq: ['any', 'any'],
  if: ['bool', 'any', 'any'],
  sample: ['int', 'int', 'int', 'int'],
  sample_at: ['int', 'int', 'int'],
};

/** Problems of an expression: arguments of wrong types or number. Empty when it is well formed. */
export function verifyExpr(root: Expr): readonly string[] {
  const problems: string[] = [];
  walk([root], (e) => {
    if (e.op === 'const') {
      if (!Number.isFinite(e.value) && e.type !== 'float') problems.push(`a constant is ${e.value}`);
      return;
    }
    if (!(e.op in SIGNATURES)) return;
    const op = e.op as Operator;
    const signature = SIGNATURES[op];
    const args = argsOf(e);
    const variadic = op === 'sample' || op === 'sample_at';
    if (variadic ? args.length < signature.length : args.length !== signature.length) {
      problems.push(`${op} has ${args.length} arguments`);
    }
    args.forEach((a, n) => {
      const wanted = signature[n] ?? 'int';
      const fits = wanted === 'any' || wanted === a.type || (wanted === 'number' && a.type !== 'bool');
      if (!fits) problems.push(`argument ${n} of ${op} is ${a.type}, not ${wanted}`);
    });
    const [a, b, c] = args;
    if (signature[0] === 'number' && args.some((x) => x.type !== a.type)) problems.push(`${op} mixes types`);
    if (op === 'eq' && a.type !== b.type) problems.push('eq mixes types');
    if (op === 'if' && (b.type !== c.type || b.type !== e.type)) problems.push('if mixes types');
  });
  return problems;
}

/** Problems of edges: conditions that aren't bool or are ill formed. Run after every pass in tests. */
export function verifyEdges(edges: Edges): readonly string[] {
  const conditions = [
    ...(edges.restrict ? [edges.restrict] : []),
    ...edges.parts.filter((p) => p.kind === 'rule').map((p) => p.when),
  ];
  return [
    ...conditions.flatMap((c) => [
      ...(c.type === 'bool' ? [] : [`a condition is ${c.type}`]),
      ...verifyExpr(c),
    ]),
    ...edges.parts.flatMap((p) => (p.kind === 'edges' ? verifyEdges(p) : [])),
  ];
}
