import test from 'ava';
import { compile, compilePattern } from '../../compiler/compile.js';
import { run } from '../../runtime/index.js';
import { openDevice, validateWgsl, type OpenedDevice } from '../../runtime/node/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { shadersOf } from '../emit/shaders.js';
import { lowerSample } from '../differential/problems.js';
import { qkv } from '../runtime/data.js';
import { HEAD_PAIRS, HEAD_SIZES, SAMPLES } from '../shapes.js';

// Breadth: every head size on one small shape, every sample's WGSL.

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ limits: 'offered' });
});
test.after.always(() => opened?.close());

test.serial('every head size, with values of another, matches the oracle', async (t) => {
  const text = 'pattern causal() { i -> j when j <= i }';
  for (const [n, dim] of HEAD_SIZES.entries()) {
    const valueDim = HEAD_SIZES[(n * 7 + 3) % HEAD_SIZES.length];
    const [heads, keyHeads] = HEAD_PAIRS[n % HEAD_PAIRS.length];
    const { program } = compile(text, { dim, valueDim });
    if (!program) return t.fail();
    const tensors = qkv({ heads, keyHeads, queries: 20, keys: 70, dim, valueDim }, n);
    const { out, lse } = await run(opened.device, program, tensors, { decode: n % 4 === 0 });
    const report = compare({ out: out.data, lse: lse.data }, reference(program.pattern, tensors));
    t.true(report.pass, `head size ${dim}, value size ${valueDim}: ${JSON.stringify(report)}`);
  }
});

test.serial('the WGSL of every sample is valid, for every pair of storage types', async (t) => {
  let shaders = 0;
  for (const [n, sample] of SAMPLES.entries()) {
    const pattern = lowerSample(sample, sample.settings[0].set);
    for (const [dim, valueDim] of [
      [64, 64],
      [HEAD_SIZES[n % HEAD_SIZES.length], HEAD_SIZES[(n * 5 + 11) % HEAD_SIZES.length]],
    ]) {
      const program = compilePattern(pattern, { dim, valueDim });
      for (const { kernel, code, types } of shadersOf(program)) {
        const messages = await validateWgsl(code, { entryPoints: [kernel.entry] });
        shaders++;
        t.deepEqual(messages, [], `${sample.pattern}, ${kernel.name}, ${types}, ${dim} and ${valueDim}`);
      }
    }
  }
  t.log(`${shaders} shaders`);
});
