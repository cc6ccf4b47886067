// Every kernel of every schedule is valid WGSL, the portable ones within WebGPU's default limits, and reads well.

import test from 'ava';
import { floatLiteral } from '../../compiler/emit/wgsl.js';
import { FULL } from '../differential/settings.js';
import { CASES } from './patterns.js';
import { programFor } from './programs.js';
import { shadersOf, typesInTurn, workgroupBytes } from './shaders.js';
import { validator } from './validate.js';

const { problemsOf, close } = validator();
test.after.always(close);

for (const [n, { pattern }] of CASES.entries()) {
  test(`valid: ${pattern.name}`, async (t) => {
    const program = programFor(pattern, 24, 72);
    for (const shader of shadersOf(program, FULL ? undefined : typesInTurn(n)))
      t.deepEqual(await problemsOf(shader), []);
    for (const variant of program.variants) {
      for (const kernel of variant.kernels) {
        const most = variant.family === 'portable' ? 16384 : 32768;
        t.true(workgroupBytes(kernel.wgsl) <= most, `${kernel.name}: ${workgroupBytes(kernel.wgsl)} bytes`);
        t.notRegex(kernel.wgsl, / $/m);
        t.notRegex(kernel.wgsl, /\n\n\n|undefined|\[object/);
        const storage = kernel.bindings.filter((b) => b.access !== 'uniform');
        t.true(storage.length <= 8);
        for (const b of kernel.bindings) t.true(kernel.wgsl.includes(`@binding(${b.binding})`));
        for (const u of kernel.uniforms) t.true(kernel.wgsl.split(`shape.${u.name}`).length > 1, u.name);
      }
    }
  });
}

test('every head size is valid and fits', async (t) => {
  // Two passes: the second one merges.
  const twice = CASES.find((c) => c.pattern.name === 'longnet of odd rates')?.pattern ?? CASES[0].pattern;
  for (let dim = 16; dim <= 256; dim += 8) {
    const program = programFor(twice, dim, 272 - dim);
    const [first] = program.variants;
    t.true(first.kernels.length > 1);
    const wanted = FULL ? undefined : typesInTurn(dim / 8);
    for (const shader of shadersOf({ ...program, variants: [first] }, wanted)) {
      t.deepEqual(await problemsOf(shader), []);
      t.true(workgroupBytes(shader.code) <= 16384);
    }
  }
});

test('literals', (t) => {
  t.is(floatLiteral(0.1), '0.1');
  t.is(floatLiteral(3), '3.0');
  t.is(floatLiteral(1e30), '1e30');
  t.is(Math.fround(Number(floatLiteral(1 / 3))), Math.fround(1 / 3));
});
