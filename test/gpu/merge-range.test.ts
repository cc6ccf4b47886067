// Parts of the keys whose sums are near the end of f32's range, and weigh nothing beside another part.

import test from 'ava';
import { compile } from '../../compiler/compile.js';
import { run } from '../../runtime/index.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { tensor } from '../../runtime/tensor.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ limits: 'offered' });
});
test.after.always(() => opened?.close());

const KEYS = 16384;
const [DIM, VALUE_DIM] = [16, 256];
/** Keys of a tile; parts take every so many-th of them. */
const TILE = 64;

test.serial('sums of parts are weighted before they are added', async (t) => {
  const program = compile('pattern p { i -> j when true }', { dim: DIM, valueDim: VALUE_DIM }).program!;
  const q = new Float32Array(DIM);
  const k = new Float32Array(KEYS * DIM);
  const v = new Float32Array(KEYS * VALUE_DIM).fill(1);
  // One key has all the weight: a score of 200 against 0.
  q[0] = 4;
  k[(TILE + 3) * DIM] = 200;
  // One huge value in each of the first tiles but that one: any two parts' together are past the range.
  for (let tile = 0; tile < 64; tile++) if (tile !== 1) v[(tile * TILE + 1) * VALUE_DIM + 5] = 2e38;
  const tensors = {
    q: tensor('f32', [1, 1, 1, DIM], q),
    k: tensor('f32', [1, 1, KEYS, DIM], k),
    v: tensor('f32', [1, 1, KEYS, VALUE_DIM], v),
  };
  const expected = reference(program.pattern, tensors);
  const families = new Set(program.variants.map((variant) => variant.family));
  for (const family of ['portable', 'subgroup'] as const) {
    t.true(families.has(family));
    if (family === 'subgroup' && !opened.device.features.has('subgroups')) continue;
    const { out, lse, stats } = await run(opened.device, program, tensors, { family, decode: true });
    t.true(stats.splits > 8, 'the keys are divided');
    const c = compare({ out: out.data, lse: lse.data }, expected);
    t.true(c.pass, JSON.stringify([family, out.data[5], out.data[6], lse.data[0], c.whole]));
    t.is(out.data[5], 1);
  }
});
