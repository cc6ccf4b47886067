// Emitted kernels on a device, against the float64 oracle: every way to schedule, prefill and decoding.

import test from 'ava';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { run, type ChooseOptions, type HostTensors } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import type { Program } from '../../compiler/ir/program.js';
import { qkv, type Sizes } from '../runtime/data.js';
import { CASES } from './patterns.js';
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
    const fits = program.schedules[n].name !== 'grid' || tensors.q.shape[2] === tensors.k.shape[2];
    if (!fits) continue;
    const result = await run(opened.device, program, tensors, { ...options, schedule: n });
    const comparison = compare({ out: result.out.data, lse: result.lse.data }, expected);
    if (!comparison.pass) found.push(`${program.schedules[n].name}: ${JSON.stringify(comparison)}`);
  }
  return found;
}

const DEFAULT: readonly Sizes[] = [
  { heads: 2, keyHeads: 1, queries: 130 },
  { heads: 2, queries: 17, keys: 100 },
];

for (const { pattern, settings, tokens } of CASES) {
  const sizes: readonly Sizes[] = tokens?.map((queries) => ({ heads: 2, queries })) ?? DEFAULT;
  test.serial(`prefill: ${pattern.name}`, async (t) => {
    const program = programFor(pattern);
    for (const size of sizes) {
      const more = settings?.(size.keys ?? size.queries, 2);
      t.deepEqual(await differences(program, { ...qkv(size), ...more }, { decode: false }), []);
    }
  });
  test.serial(`decoding: ${pattern.name}`, async (t) => {
    const size = tokens ? { heads: 2, queries: 5, keys: tokens[0] } : { heads: 2, queries: 20, keys: 150 };
    const more = settings?.(size.keys, 2);
    t.deepEqual(await differences(programFor(pattern), { ...qkv(size), ...more }, { decode: true }), []);
  });
}
