import test from 'ava';
import { compile } from '../../compiler/compile.js';
import { run } from '../../runtime/index.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { qkv } from '../runtime/data.js';
import { HEAD_PAIRS, HEAD_SIZES } from '../shapes.js';

// Breadth: every head size on one small shape (test/emit/sample-shaders has every sample's WGSL).

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
