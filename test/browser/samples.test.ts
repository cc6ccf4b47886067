// Compiled samples in a page: the runtime's ES module on the page's own device and buffers, against the oracle.

import { readFileSync } from 'node:fs';
import test from 'ava';
import { compile, packProgram } from '../../compiler/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { qkv } from '../runtime/data.js';
import type { RunOutcome, RunTask } from './pages/run-program.js';
import { browserAvailable, callInPage, NO_BROWSER, withPage } from './with-page.js';

const inBrowser = browserAvailable() === null ? test.skip : test;
const note = browserAvailable() === null ? ` (${NO_BROWSER})` : '';

interface Case {
  readonly sample: string;
  readonly pattern: string;
  readonly set: Readonly<Record<string, number>>;
  readonly sizes: {
    readonly batch: number;
    readonly heads: number;
    readonly rows: number;
    readonly dim: number;
  };
  readonly inputs?: Readonly<Record<string, readonly number[]>>;
}

/** Tiles, tables of the host, and the kernels for graphs. */
const CASES: readonly Case[] = [
  {
    sample: 'longformer',
    pattern: 'longformer',
    set: { window: 8, globals: 2 },
    sizes: { batch: 2, heads: 2, rows: 150, dim: 32 },
  },
  {
    sample: 'documents',
    pattern: 'documents_causal',
    set: {},
    sizes: { batch: 1, heads: 2, rows: 130, dim: 16 },
    inputs: { doc: Array.from({ length: 130 }, (_, n) => n >> 5) },
  },
  {
    sample: 'graph',
    pattern: 'graph',
    set: {},
    sizes: { batch: 1, heads: 2, rows: 6, dim: 24 },
    // Token 4 has no edge: out 0, lse −∞.
    inputs: { 'bonds.row_ptr': [0, 2, 3, 5, 6, 6, 9], 'bonds.col_idx': [0, 3, 1, 5, 0, 3, 1, 2, 4] },
  },
];

for (const { sample, pattern, set, sizes, inputs = {} } of CASES) {
  inBrowser(`${pattern}: run and encode in a page match the oracle${note}`, async (t) => {
    const { batch, heads, rows, dim } = sizes;
    const text = readFileSync(`samples/${sample}.attn`, 'utf8');
    const { program } = compile({ file: `${sample}.attn`, text }, { pattern, set, dim });
    if (program === undefined) return t.fail(`${sample}.attn does not compile`);
    const tensors = qkv({ batch, heads, queries: rows, dim });
    const task: RunTask = {
      program: packProgram(program),
      shape: sizes,
      q: [...tensors.q.data],
      k: [...tensors.k.data],
      v: [...tensors.v.data],
      inputs,
    };
    const outcome = (await withPage((page) =>
      callInPage(page, 'test/browser/pages/run-program.js', 'runProgram', task),
    )) as RunOutcome;
    t.is(outcome.name, pattern);
    t.deepEqual(outcome.globals, []);
    t.true(outcome.buffersAlive);
    const expected = reference(program.pattern, { ...tensors, inputs });
    for (const way of ['run', 'encoded'] as const) {
      const comparison = compare(outcome[way], expected);
      t.true(comparison.pass, `${way}: ${JSON.stringify(comparison)}`);
    }
  });
}
