/** Random trees, for fast-check: any that the grammar can write, whether they mean something or not. */
import fc from 'fast-check';
import type {
  ArgumentAst,
  BinaryOperator,
  CompareOperator,
  ExprAst,
  FileAst,
  ForSourceAst,
  ItemAst,
  Name,
  ParameterAst,
  PatternAst,
  RangeAst,
  Span,
} from '../../grammar/index.js';

const span: Span = { file: 'x', start: 0, end: 0 };

const words = fc.constantFrom(
  'i',
  'j',
  'x',
  'y',
  'sample',
  'tokens',
  'merge',
  'int',
  'keys',
  'window',
  '_a1',
  'start',
  'inner',
);
const name: fc.Arbitrary<Name> = words.map((text) => ({ text, span }));

const doc = fc.option(
  fc
    .array(fc.constantFrom('', 'One line.', '  indented', 'é 🙂 `x` // /* */'), {
      minLength: 1,
      maxLength: 3,
    })
    .map((lines) => lines.join('\n')),
  { nil: undefined },
);

const literal: fc.Arbitrary<ExprAst> = fc.oneof(
  fc
    .constantFrom('0', '7', '1_000', '0xFf', '9007199254740991')
    .map((text): ExprAst => ({ kind: 'int', value: Number(text.replaceAll('_', '')), text, span })),
  fc
    .constantFrom('0.5', '1e-3', '2.5E+7', '1_0.0_1')
    .map((text): ExprAst => ({ kind: 'float', value: Number(text.replaceAll('_', '')), text, span })),
  fc.boolean().map((value): ExprAst => ({ kind: 'bool', value, span })),
  words.map((text): ExprAst => ({ kind: 'name', text, span })),
);

const binaryOperators: readonly BinaryOperator[] = ['+', '-', '*', '/', '**', 'div', '%', 'and', 'or'];
const compareOperators: readonly CompareOperator[] = ['<', '<=', '>', '>=', '==', '!='];

const { expr, args } = fc.letrec<{ expr: ExprAst; args: ArgumentAst[] }>((tie) => ({
  args: fc.array(
    fc.record({ name: fc.option(name, { nil: undefined }), value: tie('expr'), span: fc.constant(span) }),
    { maxLength: 3 },
  ),
  expr: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    { weight: 3, arbitrary: literal },
    {
      weight: 3,
      arbitrary: fc
        .tuple(fc.constantFrom(...binaryOperators), tie('expr'), tie('expr'))
        .map(([op, left, right]): ExprAst => ({ kind: 'binary', op, left, right, span })),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.constantFrom('-' as const, 'not' as const), tie('expr'))
        .map(([op, value]): ExprAst => ({ kind: 'unary', op, value, span })),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(
          tie('expr'),
          fc.array(fc.tuple(fc.constantFrom(...compareOperators), tie('expr')), {
            minLength: 1,
            maxLength: 3,
          }),
        )
        .map(([first, rest]): ExprAst => ({
          kind: 'compare',
          operands: [first, ...rest.map(([, operand]) => operand)],
          operators: rest.map(([op]) => op),
          span,
        })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie('expr'), tie('expr'))
        .map(([value, set]): ExprAst => ({ kind: 'in', value, set, span })),
    },
    {
      weight: 1,
      arbitrary: fc
        .array(tie('expr'), { maxLength: 3 })
        .map((items): ExprAst => ({ kind: 'list', items, span })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie('expr'), name)
        .map(([object, member]): ExprAst => ({ kind: 'member', object, member, span })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie('expr'), fc.array(tie('expr'), { minLength: 1, maxLength: 2 }))
        .map(([object, indices]): ExprAst => ({ kind: 'index', object, indices, span })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(name, tie('args'))
        .map(([called, list]): ExprAst => ({ kind: 'call', name: called, args: list, span })),
    },
  ),
}));

export const expressions = expr;

const range: fc.Arbitrary<RangeAst> = fc.record({
  kind: fc.constant('range' as const),
  from: expr,
  to: expr,
  inclusive: fc.boolean(),
  step: fc.option(expr, { nil: undefined }),
  span: fc.constant(span),
});

const forSource: fc.Arbitrary<ForSourceAst> = fc.oneof(
  range,
  fc.array(expr, { maxLength: 3 }).map((lists): ForSourceAst => ({ kind: 'zip', lists, span })),
  expr.map((list): ForSourceAst => ({ kind: 'each', list, span })),
);

const label = fc.option(name, { nil: undefined });

const { items } = fc.letrec<{ items: ItemAst[]; item: ItemAst }>((tie) => ({
  items: fc.array(tie('item'), { maxLength: 4 }),
  item: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc
      .record({
        label,
        range: fc.option(range, { nil: undefined }),
        when: fc.option(expr, { nil: undefined }),
        doc,
      })
      .map((parts): ItemAst => ({ kind: 'rule', ...parts, span })),
    fc.tuple(name, expr).map(([given, value]): ItemAst => ({ kind: 'let', name: given, value, span })),
    expr.map((condition): ItemAst => ({ kind: 'restrict', condition, span })),
    fc
      .tuple(label, name, args)
      .map(([own, pattern, list]): ItemAst => ({ kind: 'include', label: own, pattern, args: list, span })),
    fc
      .constantFrom('merge' as const, 'add' as const)
      .map((mode): ItemAst => ({ kind: 'overlaps', mode, span })),
    expr.map((value): ItemAst => ({ kind: 'score', value, span })),
    fc.tuple(name, args).map(([given, list]): ItemAst => ({ kind: 'mix', name: given, args: list, span })),
    fc
      .record({
        name,
        type: fc.constantFrom('int' as const, 'float' as const, 'bool' as const, 'edges' as const),
        axes: fc.array(expr, { maxLength: 3 }),
        doc,
      })
      .map((parts): ItemAst => ({ kind: 'input', ...parts, span })),
    fc
      .array(fc.record({ name, size: fc.option(expr, { nil: undefined }), span: fc.constant(span) }), {
        minLength: 1,
        maxLength: 3,
      })
      .map((axes): ItemAst => ({ kind: 'tokens', axes, span })),
    fc.constantFrom('end' as const, 'start' as const).map((to): ItemAst => ({ kind: 'align', to, span })),
    fc
      .tuple(label, tie('items'))
      .map(([own, inner]): ItemAst => ({ kind: 'block', label: own, items: inner, span })),
    fc
      .tuple(fc.array(name, { minLength: 1, maxLength: 3 }), forSource, tie('items'))
      .map(([names, over, inner]): ItemAst => ({ kind: 'for', names, over, items: inner, span })),
  ),
}));

const parameter: fc.Arbitrary<ParameterAst> = fc
  .record({
    name,
    type: fc.constantFrom(
      'int' as const,
      'float' as const,
      'bool' as const,
      'int[]' as const,
      'float[]' as const,
    ),
    range: fc.option(range, { nil: undefined }),
    value: expr,
    doc,
  })
  .map((parts) => ({ kind: 'parameter', ...parts, span }));

const pattern: fc.Arbitrary<PatternAst> = fc
  .record({ name, doc, parameters: fc.array(parameter, { maxLength: 3 }), items })
  .map((parts) => ({ kind: 'pattern', ...parts, span }));

export const files: fc.Arbitrary<FileAst> = fc
  .record({
    imports: fc.array(fc.constantFrom('a.attn', '../b c.attn', ''), { maxLength: 2 }),
    patterns: fc.array(pattern, { maxLength: 3 }),
  })
  .map(({ imports, patterns }) => ({
    kind: 'file',
    imports: imports.map((path) => ({ kind: 'import', path, span })),
    patterns,
    comments: [],
    span,
  }));
