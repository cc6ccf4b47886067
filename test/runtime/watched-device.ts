/** A device that is watched, for tests of errors. */

import test from 'ava';
import { openDevice } from '../../runtime/node/index.js';
import { run } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { countingDevice } from './counting-device.js';
import { qkv } from './data.js';
import { windowProgram } from './hand-program.js';

const unhandled: unknown[] = [];
/** What the device told of. */
export const problems: string[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(reason));

export const opened = await openDevice({ onProblem: (message) => problems.push(message) });
export const counting = countingDevice(opened.device);
test.after.always(() => opened.close());

/** After an error: nothing leaked, nothing unhandled, and the same device gives right numbers. */
export async function usable(t: { deepEqual: Function; true: Function }): Promise<void> {
  const program = windowProgram();
  const tensors = qkv({ queries: 20 });
  const { out, lse } = await run(counting.device, program, tensors);
  t.true(compare({ out: out.data, lse: lse.data }, reference(program.pattern, tensors)).pass);
  t.deepEqual(counting.live(), []);
  await new Promise((done) => setTimeout(done, 5));
  t.deepEqual(unhandled, []);
  t.deepEqual(problems, []);
}
