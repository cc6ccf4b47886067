import test from 'ava';
import { readFileSync } from 'node:fs';
import { checkSource } from '../../compiler/check/index.js';
import { variable } from '../../compiler/ir/build.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import { multiplicity } from '../../compiler/ir/evaluate.js';
import type { Expr } from '../../compiler/ir/expr.js';
import type { BoundGraph, BoundInputs, BoundTable } from '../../compiler/ir/inputs.js';
import { baseOf, setShape, setSide, type BoundShape } from '../../compiler/ir/shape.js';
import { compileTape } from '../../compiler/ir/tape.js';
import { compilePattern } from '../interpreter/interpret.js';
import { loadFiles } from '../interpreter/load.js';
import { graphOf, required, type Tables } from '../interpreter/tables.js';
import { LENGTHS, SAMPLES, type SampleCase, type SampleSetting } from '../shapes.js';
import { resolveSource } from '../tools/golden-errors.js';

// The samples as checked and lowered, against the interpreter of the syntax tree: multiplicity, score and sink.
for (const sample of SAMPLES) {
  test(`${sample.pattern} is lowered to what its text says`, (t) => {
    for (const setting of sample.settings) {
      for (const [queries, keys] of sizes(setting)) t.is(compare(sample, setting, queries, keys), undefined);
    }
  });
}

function sizes({ lengths }: SampleSetting): readonly (readonly [number, number])[] {
  if (lengths === LENGTHS)
    return [
      [66, 66],
      [17, 129],
    ];
  const n = lengths.find((x) => x > 40) ?? lengths[0];
  return [
    [n, n],
    [Math.ceil(n / 3), n],
  ];
}

/** What differs, or nothing. */
function compare(
  sample: SampleCase,
  { set }: SampleSetting,
  queries: number,
  keys: number,
): string | undefined {
  const { file, pattern: name } = sample;
  const shape = { batch: 2, heads: Math.max(sample.heads, 3), queries, keys, dim: 16 };
  const tables = sample.tables(shape, keys, set);
  const source = { file, text: readFileSync(file, 'utf8') };
  const { pattern, diagnostics } = checkSource(source, { pattern: name, set, resolve: resolveSource });
  if (!pattern || diagnostics.length > 0) return diagnostics.map((d) => d.message).join('; ');
  const expected = compilePattern(loadFiles(file), name, { set, tables, shape });
  const bound = bindShape(pattern, shape);
  const inputs = bindInputs(pattern, tables);
  const score: Expr = pattern.score ?? variable('dot', 'float');
  const roots = [multiplicity(pattern.edges), score, pattern.mix.sink ?? score];
  const tape = compileTape(roots, { precision: 'f64' });
  for (let b = 0; b < shape.batch; b++) {
    const base = baseOf(bound, b);
    if (base !== expected.base(b)) return `base is ${base}`;
    for (let h = 0; h < shape.heads; h++) {
      setShape(tape, bound, b, h);
      tape.set('scale', 1 / Math.sqrt(shape.dim));
      for (let i = base; i < base + queries; i++) {
        setSide(tape, 'i', i, bound.grid);
        for (let j = 0; j < keys; j++) {
          const dot = ((i * 7 + j * 3) % 11) - 5;
          setSide(tape, 'j', j, bound.grid);
          tape.set('dot', dot);
          tape.run(inputs);
          const at = `${JSON.stringify(set)} ${queries} × ${keys}, (${b}, ${h}, ${i}, ${j})`;
          const m = expected.multiplicity(b, h, i, j);
          if (tape.result(0) !== m) return `${at}: m is ${tape.result(0)}, not ${m}`;
          if (m === 0) continue;
          const s = pattern.score ? expected.score(b, h, i, j, dot) : dot;
          if (Math.abs(tape.result(1) - s) > 1e-9) return `${at}: score is ${tape.result(1)}, not ${s}`;
          const sink = expected.sink?.(b, h, i);
          if ((sink === undefined) !== (pattern.mix.sink === undefined)) return 'one of them has no sink';
          if (sink !== undefined && tape.result(2) !== sink)
            return `${at}: sink is ${tape.result(2)}, not ${sink}`;
        }
      }
    }
  }
  return undefined;
}

interface Shape {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly dim: number;
}

function bindShape(pattern: Pattern, shape: Shape): BoundShape {
  const each = (n: number): number[] => Array.from({ length: shape.batch }, () => n);
  const sizes = (pattern.grid ?? []).map((a) => (a.size?.op === 'const' ? a.size.value : 0));
  const known = sizes.reduce((product, n) => product * (n || 1), 1);
  return {
    ...shape,
    keyHeads: shape.heads,
    queries: each(shape.queries),
    keys: each(shape.keys),
    grid: sizes.map((n) => n || shape.keys / known),
    align: pattern.align,
    parameters: new Map(pattern.parameters.filter((p) => !p.fixed).map((p) => [p.name, Number(p.value)])),
  };
}

function bindInputs(pattern: Pattern, tables: Tables): BoundInputs {
  return new Map(
    pattern.inputs.map(({ name, type }): [string, BoundTable | BoundGraph] => {
      if (type === 'edges') return [name, bindGraph(name, tables)];
      const { shape, data } = required(name, tables);
      const typed =
        type === 'int'
          ? Int32Array.from(data)
          : type === 'bool'
            ? Uint8Array.from(data)
            : Float32Array.from(data);
      return [name, { kind: 'table', type, sizes: shape, data: typed }];
    }),
  );
}

/** Rows sorted, repeated entries once; graphs follow each other along the heads. */
function bindGraph(name: string, tables: Tables): BoundGraph {
  const { rowsEach, rows } = graphOf(name, tables);
  const rowPtr: number[] = [];
  const colIdx: number[] = [];
  const weight: number[] = [];
  rows.forEach((row, n) => {
    if (n % rowsEach === 0) rowPtr.push(colIdx.length);
    for (const [column, w] of [...row].sort((a, b) => a[0] - b[0])) {
      colIdx.push(column);
      weight.push(w);
    }
    rowPtr.push(colIdx.length);
  });
  return {
    kind: 'graph',
    rows: rowsEach,
    cols: rowsEach,
    batches: 1,
    heads: rows.length / rowsEach,
    rowPtr: Int32Array.from(rowPtr),
    colIdx: Int32Array.from(colIdx),
    weight: Float32Array.from(weight),
  };
}
