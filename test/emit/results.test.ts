// Emitted kernels on a device, against the float64 oracle: every way to schedule, prefill and decoding.

import test from 'ava';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { run, type ChooseOptions, type HostTensors } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import type { Program } from '../../compiler/ir/program.js';
import { tensor } from '../../runtime/tensor.js';
import { fitsShape } from '../differential/problems.js';
import { qkv, type Sizes } from '../runtime/data.js';
import { CASES, type Case } from './patterns.js';
import { programFor } from './programs.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice();
});
test.after.always(() => opened?.close());

/** What differs from the oracle, schedule by schedule; empty if nothing does. */
async function differences(
  program: Program,
  tensors: HostTensors,
  options: ChooseOptions = {},
): Promise<readonly string[]> {
  const expected = reference(program.pattern, tensors);
  const found: string[] = [];
  for (let n = 0; n < program.schedules.length; n++) {
    const [queries, keys] = [tensors.q.shape[2], tensors.k.shape[2]];
    if (!fitsShape(program.schedules[n], { queries: [queries], keys: [keys] })) continue;
    const result = await run(opened.device, program, tensors, { ...options, schedule: n });
    const comparison = compare({ out: result.out.data, lse: result.lse.data }, expected);
    if (!comparison.pass) found.push(`${program.schedules[n].name}: ${JSON.stringify(comparison)}`);
  }
  return found;
}

for (const { pattern, settings, tokens } of CASES) {
  test.serial(`every schedule: ${pattern.name}`, async (t) => {
    const size: Sizes = tokens ? { heads: 2, queries: tokens[0] } : { heads: 2, keyHeads: 1, queries: 130 };
    const tensors = { ...qkv(size), ...settings?.(size.queries, 2) };
    t.deepEqual(await differences(programFor(pattern), tensors, { decode: false }), []);
  });
}

const caseOf = (name: string): Case => {
  const found = CASES.find((c) => c.pattern.name === name);
  if (!found) throw new Error(`no case ${name}`);
  return found;
};

for (const name of ['longformer', 'documents', 'sink', 'sink over passes', 'alibi']) {
  test.serial(`keys in parts: ${name}`, async (t) => {
    const { pattern, settings } = caseOf(name);
    const tensors = { ...qkv({ heads: 2, queries: 20, keys: 600 }), ...settings?.(600, 2) };
    t.deepEqual(await differences(programFor(pattern), tensors, { decode: true }), []);
  });
}

for (const [dim, valueDim] of [
  [24, 72],
  [72, 24],
  [256, 16],
]) {
  test.serial(`head sizes ${dim} and ${valueDim}`, async (t) => {
    for (const name of ['window', 'sink over passes', 'graph']) {
      const { pattern, settings } = caseOf(name);
      const tensors = { ...qkv({ heads: 2, queries: 70, dim, valueDim }), ...settings?.(70, 2) };
      t.deepEqual(await differences(programFor(pattern, dim, valueDim), tensors), []);
    }
  });
}

test.serial('lengths of their own, and scores of ten thousand', async (t) => {
  const program = programFor(caseOf('sink over passes').pattern);
  const tensors = {
    ...qkv({ batch: 3, heads: 2, queries: 70, keys: 140 }),
    ...caseOf('sink over passes').settings?.(140, 2),
    lengths: { queries: [70, 0, 7], keys: [140, 1, 66] },
  };
  t.deepEqual(await differences(program, tensors), []);
  const large = {
    ...tensors,
    q: tensor(
      'f32',
      tensors.q.shape,
      tensors.q.data.map((x) => 10000 * x),
    ),
  };
  t.deepEqual(await differences(program, large), []);
});

test.serial('NaN and infinity reach only the queries with an edge to them', async (t) => {
  for (const name of ['window', 'longnet of odd rates', 'butterfly', 'documents']) {
    const { pattern, settings } = caseOf(name);
    const tensors = { ...qkv({ heads: 1, queries: 130 }), ...settings?.(130, 1) };
    tensors.q.data[16 * 21 + 3] = NaN;
    tensors.k.data[16 * 40] = NaN;
    tensors.k.data[16 * 99 + 15] = NaN;
    tensors.v.data[16 * 70 + 5] = -Infinity;
    tensors.v.data[16 * 129 + 8] = NaN;
    const expected = reference(pattern, tensors);
    // With infinity the oracle may find a score of −∞, which has no weight; kernels give NaN either way.
    tensors.k.data[16 * 99 + 15] = Infinity;
    const program = programFor(pattern);
    for (const decode of [false, true]) {
      for (let schedule = 0; schedule < program.schedules.length; schedule++) {
        const { out, lse } = await run(opened.device, program, tensors, { decode, schedule });
        const poisoned = Array.from(expected.lse, (x, row) => {
          const values = expected.out.subarray(16 * row, 16 * row + 16);
          return Number.isNaN(x) || values.some((y) => !Number.isFinite(y)) ? row : -1;
        }).filter((row) => row >= 0);
        const found = Array.from(lse.data, (x, row) => (Number.isNaN(x) ? row : -1)).filter(
          (row) => row >= 0,
        );
        t.true(poisoned.length > 0 && poisoned.length < 130);
        t.deepEqual(found, poisoned, `${name}, ${program.schedules[schedule].name}, decode ${decode}`);
        for (const row of found) t.true(out.data.subarray(16 * row, 16 * row + 16).every(Number.isNaN));
        const sum = out.data.filter((_, n) => !found.includes(Math.floor(n / 16))).reduce((a, b) => a + b, 0);
        t.true(Number.isFinite(sum));
      }
    }
  }
});
