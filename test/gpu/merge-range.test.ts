// Parts of the keys whose sums are near the end of f32's range, and weigh nothing beside another part.

import { compile } from '../../compiler/compile.js';
import { run } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { tensor } from '../../runtime/tensor.js';
import { opened, variantTest } from './subgroup-device.js';

const KEYS = 16384;
const [DIM, VALUE_DIM] = [16, 256];
/** Keys of a tile; parts take every so many-th of them. */
const TILE = 64;

const program = compile('pattern p { i -> j when true }', { dim: DIM, valueDim: VALUE_DIM }).program!;

for (const family of ['portable', 'subgroup'] as const) {
  const variants = program.variants.filter((v) => v.family === family);
  variantTest(`${family}: sums of parts are weighted before they are added`, variants, async (t) => {
    t.true(variants.length > 0);
    const q = new Float32Array(DIM);
    const k = new Float32Array(KEYS * DIM);
    const v = new Float32Array(KEYS * VALUE_DIM).fill(1);
    // One key has all the weight: a score of 200 against 0.
    q[0] = 4;
    k[(TILE + 3) * DIM] = 200;
    // Tiles beside it that fall to different parts have a value each in column 5 of which two are past f32's range.
    for (let tile = 0; tile < 64; tile++) if (tile !== 1) v[(tile * TILE + 1) * VALUE_DIM + 5] = 2e38;
    const tensors = {
      q: tensor('f32', [1, 1, 1, DIM], q),
      k: tensor('f32', [1, 1, KEYS, DIM], k),
      v: tensor('f32', [1, 1, KEYS, VALUE_DIM], v),
    };
    const { out, lse, stats } = await run(opened.device, program, tensors, { family, decode: true });
    t.is(stats.splits, 64);
    const c = compare({ out: out.data, lse: lse.data }, reference(program.pattern, tensors));
    t.true(c.pass, JSON.stringify([out.data[5], out.data[6], lse.data[0], c.whole]));
    t.is(out.data[5], 1);
  });
}
