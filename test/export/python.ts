/** Exported modules evaluated by Python, against a stand-in for torch (see stand-in/torch): one process for many cases. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { checkSource } from '../../compiler/check/index.js';
import { exportFlex } from '../../compiler/export/index.js';
import { evaluator } from '../../compiler/ir/evaluate.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import type { Expr } from '../../compiler/ir/expr.js';
import { baseOf, setShape, setSide } from '../../compiler/ir/shape.js';
import { compileTape, type Tape } from '../../compiler/ir/tape.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import { bindProblem, inputTensors, type Problem, type ProblemShape } from '../differential/problems.js';
import type { Tables } from '../shapes.js';

/** A Python that has torch, to check the stand-in, or what modules need of torch, against the real one. */
const TORCH = process.env.ATTNC_TORCH;
const PYTHON = TORCH ?? 'python3';

/** Null if there is a Python that can evaluate modules; else why there is none. */
export function noPython(): string | null {
  const { status, stdout } = spawnSync(PYTHON, ['-c', 'import sys; print(sys.version_info >= (3, 10))'], {
    encoding: 'utf8',
  });
  if (status !== 0) return 'there is no python3';
  return stdout.trim() === 'True' ? null : 'python3 is older than 3.10';
}

/** A case for check-modules.py: a module's text, and what is asked of it. */
export interface ModuleCase {
  readonly name: string;
  readonly text: string;
  readonly asked: Readonly<Record<string, unknown>>;
}

/** Evaluates the modules; a line for each case with a problem. Cases of the same text share the module. */
export function checkModules(cases: readonly ModuleCase[]): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'attnc-export-'));
  try {
    const files = new Map<string, string>();
    const written = cases.map((c) => {
      const file = files.get(c.text) ?? join(folder, `module${files.size}.py`);
      if (!files.has(c.text)) writeFileSync(file, c.text);
      files.set(c.text, file);
      return {
        name: c.name,
        module: file,
        fails: null,
        lengths: null,
        parameters: {},
        inputs: {},
        ...c.asked,
      };
    });
    const list = join(folder, 'cases.json');
    writeFileSync(list, JSON.stringify(written));
    const printed = execFileSync(PYTHON, ['test/export/check-modules.py', list], {
      encoding: 'utf8',
      env: {
        ...process.env,
        PYTHONDONTWRITEBYTECODE: '1',
        ...(TORCH === undefined ? { PYTHONPATH: resolve('test/export/stand-in') } : {}),
      },
      maxBuffer: 2 ** 26,
    });
    const results = printed
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string; problem: string | null });
    if (results.length !== cases.length) return [`${results.length} results for ${cases.length} cases`];
    return results.flatMap((r) => (r.problem === null ? [] : [`${r.name}: ${r.problem}`]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A text's pattern, and its module. */
export function exported(
  text: string,
  name?: string,
): { readonly pattern: Pattern; readonly module: string } {
  const checked = checkSource({ file: 'p.attn', text }, name === undefined ? {} : { pattern: name });
  if (!checked.pattern || hasErrors(checked.diagnostics)) {
    throw new Error(`${checked.diagnostics.map((d) => d.message).join('; ')}\n${text}`);
  }
  const { text: module, diagnostics } = exportFlex(checked.pattern);
  if (module === undefined) throw new Error(diagnostics.map((d) => d.message).join('; '));
  return { pattern: checked.pattern, module };
}

export interface PairCase {
  readonly name: string;
  readonly module: string;
  readonly pattern: Pattern;
  readonly shape: ProblemShape;
  readonly tables: Tables;
  /** Values of all dynamic parameters. */
  readonly parameters: Readonly<Record<string, number>>;
  /** The pattern bound to all that, where the runtime's own checks would refuse it. */
  readonly problem?: Problem;
}

export const defaultsOf = (pattern: Pattern): Readonly<Record<string, number>> =>
  Object.fromEntries(
    pattern.parameters.flatMap((p) =>
      p.fixed || typeof p.value !== 'number' ? [] : [[p.name, p.value] as const],
    ),
  );

/** Asks whether every pair's multiplicity and score, and the sinks, are those of the definition. */
export function allPairs(c: PairCase): ModuleCase {
  const { pattern, shape, tables, parameters } = c;
  const problem =
    c.problem ??
    bindProblem(pattern, shape, {
      inputs: inputTensors(pattern, tables),
      parameters,
      ...(shape.lengths ? { lengths: shape.lengths } : {}),
    });
  const { batch, heads, queries, keys } = shape;
  const asked = {
    shape: [batch, heads, queries, keys],
    dim: problem.shape.dim,
    lengths: shape.lengths ?? null,
    inputs: tables,
    parameters,
    ...definition(pattern, shape, problem),
  };
  return { name: c.name, text: c.module, asked };
}

/** Of every pair: multiplicities as digits (base 36), and the scores of made-up products; of every query the sink. */
function definition(
  pattern: Pattern,
  { batch, heads, queries, keys }: ProblemShape,
  problem: Problem,
): Readonly<Record<string, unknown>> {
  const { shape: bound, inputs } = problem;
  const m = evaluator(pattern, bound, inputs);
  const score = tapeOf(pattern.score, problem);
  const sink = tapeOf(pattern.mix.sink, problem);
  const scale = 1 / Math.sqrt(bound.dim);
  let multiplicity = '';
  const dots: number[] = [];
  const scores: number[] = [];
  const sinks: (number | null)[] = [];
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let row = 0; row < queries; row++) {
        const i = row + baseOf(bound, b);
        m.row(b, h, i);
        for (let j = 0; j < keys; j++) {
          const inside = row < bound.queries[b] && j < bound.keys[b];
          multiplicity += (inside ? m.at(j) : 0).toString(36);
          const dot = (((row * 7 + j * 13 + h * 5) % 17) - 8) / 4;
          dots.push(dot);
          scores.push(score && inside ? score(b, h, i, j, dot) : dot * scale);
        }
        // A row that the sequence does not use has no sink.
        if (sink) sinks.push(row < bound.queries[b] ? sink(b, h, i, 0, 0) : null);
      }
    }
  }
  return { multiplicity, dots, scores, sink: sink ? sinks : null };
}

type PairFunction = (batch: number, head: number, i: number, j: number, dot: number) => number;

/** A score or a sink in float64, as the oracle has it. */
function tapeOf(e: Expr | undefined, { shape, inputs }: Problem): PairFunction | undefined {
  if (e === undefined) return undefined;
  const tape: Tape = compileTape([e], { precision: 'f64' });
  return (batch, head, i, j, dot) => {
    setShape(tape, shape, batch, head);
    tape.set('scale', 1 / Math.sqrt(shape.dim));
    setSide(tape, 'i', i, shape.grid);
    setSide(tape, 'j', j, shape.grid);
    tape.set('dot', dot);
    tape.run(inputs);
    return tape.result(0);
  };
}
