import { diagnostic, type Diagnostic } from '../../../grammar/diagnostics.js';
import { largestLength } from '../../ir/binding-checks.js';
import type { Pattern } from '../../ir/edges.js';
import { rulesOf } from '../../ir/edges.js';
import { some, type Expr } from '../../ir/expr.js';
import { flattenOverlaps } from '../../passes/flatten-overlaps.js';
import { foldConstants } from '../../passes/fold-constants.js';
import { removeCovered } from '../../passes/remove-covered.js';
import { removeEmpty } from '../../passes/remove-empty.js';
import { runPasses } from '../../passes/run-passes.js';
import { printExpr } from '../../print/expression.js';
import { modelShape } from '../../schedule/index.js';
import { printChecks } from './checks.js';
import { printModule } from './module.js';
import { conditionsOf, printRules } from './rules.js';
import { createScope } from './scope.js';
import { printScore, printSink } from './score.js';

/** A pattern as a Python module for PyTorch's FlexAttention. */
export interface ExportedFlex {
  /** Undefined if FlexAttention can't express the pattern. */
  readonly text: string | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

/** What makes edges shorter to read; restrictions stay where they were written. */
const PASSES = [foldConstants, flattenOverlaps, removeEmpty, removeCovered];

/** Lengths up to which 32 bits must do for every integer, or else they are computed in 64: past any of FlexAttention's. */
const LENGTHS_IN_32_BITS = 2 ** 24;

export function exportFlex(pattern: Pattern): ExportedFlex {
  const edges = runPasses(pattern.edges, PASSES, false);
  const narrow = largestLength(pattern, modelShape(pattern)) >= LENGTHS_IN_32_BITS;
  const scope = createScope(pattern, narrow ? 'torch.int32' : 'torch.int64');
  printChecks(scope);
  const rules = printRules(edges, scope);
  const score = printScore(rules.counted, scope);
  const sink = printSink(scope);
  if (scope.problems.length > 0) return { text: undefined, diagnostics: problemsOf(pattern, scope.problems) };
  const conditions = conditionsOf(edges).map(scope.facts);
  const text = printModule(scope, {
    rules,
    score,
    sink,
    byBatch: conditions.some((f) => f.batch),
    byHead: conditions.some((f) => f.head),
  });
  return { text, diagnostics: [] };
}

function problemsOf(pattern: Pattern, samples: readonly Expr[]): readonly Diagnostic[] {
  const axes = (pattern.grid ?? []).map((g) => g.name);
  return [...new Set(samples)].map((sample) => {
    const shown = printExpr(sample, { axes });
    const rule = rulesOf(pattern.edges).find((r) => some(r.when, (e) => printExpr(e, { axes }) === shown));
    return diagnostic(
      'ATTN3001',
      'error',
      `FlexAttention can't draw \`${shown}\`: what it depends on changes with both the query and the key`,
      rule && { file: rule.origin.file, start: rule.origin.start, end: rule.origin.end },
      {
        help: 'drawing takes a loop, which FlexAttention has not; samples whose seed and keys depend on one side only are drawn beforehand',
      },
    );
  });
}
