// `attnc bench` on scores of one's own says what was done again, in words and in JSON.

import { writeFileSync } from 'node:fs';
import { packProgram } from '../../compiler/ir/pack.js';
import { writeSafetensors } from '../../runtime/files/index.js';
import { attnc, DEVICE, scratch } from '../cli/harness.js';
import { storedAs } from '../gpu/tensors.js';
import { qkv } from '../runtime/data.js';
import { matrixTest } from './matrix-device.js';
import { inTiling } from './one-tiling.js';

matrixTest('bench --input: scores that were not foreseen, and others', async (t) => {
  const file = scratch(t);
  const [dim, length] = [16, 100];
  const text = 'pattern p { i -> j when abs(i - j) <= 90 }';
  const program = inTiling({ text, tiling: { keys: 32 }, dim, valueDim: dim });
  writeFileSync(file('p.json'), packProgram(program));
  const bench = async (rise: number, options: string) => {
    const { q, k, v } = qkv({
      batch: 1,
      heads: 1,
      keyHeads: 1,
      queries: length,
      keys: length,
      dim,
      valueDim: dim,
    });
    q.data.forEach((_, n) => (q.data[n] = n % dim === 0 ? Math.sqrt(dim) : 0));
    k.data.forEach((_, n) => (k.data[n] = n % dim === 0 && n >= 32 * dim ? rise : 0));
    const stored = storedAs('f16', { q, k, v });
    const named = new Map([
      ['q', stored.q],
      ['k', stored.k],
      ['v', stored.v],
    ]);
    writeFileSync(file('qkv.safetensors'), writeSafetensors(named));
    return attnc(
      `bench ${file('p.json')} --input ${file('qkv.safetensors')} --family matrix --device ${DEVICE} --runs 2 --warm-up 0 ${options}`,
    );
  };
  const plain = await bench(0, '');
  t.is(plain.status, 0, plain.stderr);
  t.regex(plain.stdout, /^done again +none of \d+ workgroups$/m);
  const off = await bench(16, '--json');
  t.is(off.status, 0, off.stderr);
  const { doneAgain } = JSON.parse(off.stdout) as { readonly doneAgain: Readonly<Record<string, number>> };
  const { workgroups } = doneAgain;
  t.true(workgroups > 0);
  t.deepEqual(doneAgain, { workgroups, retried: 0, rescaled: workgroups });
});
