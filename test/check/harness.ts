/** Small helpers of the tests of checking and lowering. */
import { hasErrors, type Source } from '../../grammar/index.js';
import { checkSource, type CheckOptions } from '../../compiler/check/index.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import { evaluator } from '../../compiler/ir/evaluate.js';
import type { BoundInputs } from '../../compiler/ir/inputs.js';
import { baseOf, type BoundShape } from '../../compiler/ir/shape.js';

export interface SmallShape {
  readonly batch?: number;
  readonly heads?: number;
  readonly queries: number;
  readonly keys: number;
  readonly grid?: readonly number[];
}

/** The file `test.attn` with this text, and other files that it may import. */
export function check(
  text: string,
  options: Omit<CheckOptions, 'resolve'> = {},
  files: Readonly<Record<string, string>> = {},
): ReturnType<typeof checkSource> {
  const resolve = (path: string): Source | undefined =>
    path in files ? { file: path, text: files[path] } : undefined;
  return checkSource({ file: 'test.attn', text }, { ...options, resolve });
}

/** Codes in the order reported; warnings end with `?`. */
export const codesOf = (checked: ReturnType<typeof checkSource>): string =>
  checked.diagnostics.map((d) => d.code.slice(4) + (d.severity === 'warning' ? '?' : '')).join(' ');

/** The lowered pattern of a text that must be right. */
export function lowered(
  text: string,
  options: Omit<CheckOptions, 'resolve'> = {},
  files: Readonly<Record<string, string>> = {},
): Pattern {
  const checked = check(text, options, files);
  if (!checked.pattern || hasErrors(checked.diagnostics)) {
    throw new Error(checked.diagnostics.map((d) => `${d.code} ${d.message}`).join('; '));
  }
  return checked.pattern;
}

export function bind(pattern: Pattern, shape: SmallShape): BoundShape {
  const batch = shape.batch ?? 1;
  const parameters = pattern.parameters
    .filter((p) => !p.fixed)
    .map((p) => [p.name, Number(p.value)] as const);
  return {
    batch,
    heads: shape.heads ?? 1,
    keyHeads: shape.heads ?? 1,
    dim: 16,
    queries: Array.from({ length: batch }, () => shape.queries),
    keys: Array.from({ length: batch }, () => shape.keys),
    grid: shape.grid ?? [],
    align: pattern.align,
    parameters: new Map(parameters),
  };
}

/** m(batch, head, i, j) for every pair, in that order of loops. */
export function everyPair(
  pattern: Pattern,
  shape: SmallShape,
  inputs: BoundInputs,
  visit: (m: number, batch: number, head: number, i: number, j: number) => void,
): void {
  const bound = bind(pattern, shape);
  const pairs = evaluator(pattern, bound, inputs);
  for (let batch = 0; batch < bound.batch; batch++) {
    const base = baseOf(bound, batch);
    for (let head = 0; head < bound.heads; head++) {
      for (let i = base; i < base + shape.queries; i++) {
        pairs.row(batch, head, i);
        for (let j = 0; j < shape.keys; j++) visit(pairs.at(j), batch, head, i, j);
      }
    }
  }
}
