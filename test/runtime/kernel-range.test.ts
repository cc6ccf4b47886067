import test from 'ava';
import { compile } from '../../compiler/index.js';
import { fromNumbers, isAttncError, run } from '../../runtime/index.js';
import { reference, compare } from '../../runtime/reference/index.js';
import { openDevice } from '../../runtime/node/index.js';

const SLIDING = 'pattern sliding(window: int = 8) { i -> j when abs(i - j) <= window }';

test('a window that would wrap in the kernel is refused, and one that just fits is right', async (t) => {
  const { program } = compile(SLIDING, { dim: 16 });
  if (!program) return t.fail();
  const opened = await openDevice({ limits: 'offered' });
  const rows = Array.from({ length: 70 * 16 }, (_, n) => Math.sin(n));
  const q = fromNumbers('f32', [1, 1, 70, 16], rows);
  const tensors = { q, k: q, v: q };
  const huge = { ...tensors, parameters: { window: 2 ** 31 - 1 } };
  const error: unknown = await t.throwsAsync(run(opened.device, program, huge));
  t.true(isAttncError(error, 'value-out-of-range'));
  const large = { ...tensors, parameters: { window: 2 ** 31 - 100 } };
  const { out, lse } = await run(opened.device, program, large);
  const expected = reference(program.pattern, large);
  t.true(compare({ out: out.data, lse: lse.data }, expected, 'f32').pass);
  opened.close();
});
