// Compiled programs on the device: the reference files, and decoding.

import test from 'ava';
import { compile } from '../../compiler/index.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { run, type Program } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { countingDevice, type CountingDevice } from './counting-device.js';
import { loadReference, REFERENCE_FILES, resolve, sourceOf, type ReferenceFile } from './reference-files.js';

let opened: OpenedDevice;
let counting: CountingDevice;
test.before(async () => {
  opened = await openDevice();
  counting = countingDevice(opened.device);
});
test.after.always(() => opened?.close());

function compiled(file: Pick<ReferenceFile, 'name' | 'source' | 'set'>, dim: number): Program {
  const wanted = 'pattern' in file.source ? { pattern: file.source.pattern } : {};
  const { program, diagnostics } = compile(sourceOf(file), { ...wanted, set: file.set, resolve, dim });
  if (!program) throw new Error(JSON.stringify(diagnostics));
  return program;
}

for (const file of REFERENCE_FILES) {
  test.serial(`the kernels reproduce ${file.name}`, async (t) => {
    const { tensors, out, lse } = loadReference(file.name);
    const program = compiled(file, tensors.q.shape[3]);
    const expected = reference(program.pattern, tensors);
    // Few queries go both ways: through the kernels that divide the keys, and those that don't.
    for (const decode of tensors.q.shape[2] <= 17 ? [false, true] : [undefined]) {
      const got = await run(counting.device, program, tensors, { decode });
      const comparison = compare({ out: got.out.data, lse: got.lse.data }, expected);
      t.true(comparison.pass, JSON.stringify({ ...comparison, stats: got.stats }));
      let error = 0;
      let norm = 0;
      out.forEach((x, n) => {
        error += (got.out.data[n] - x) ** 2;
        norm += x ** 2;
      });
      t.true(Math.sqrt(error / norm) < 1e-5);
      lse.forEach((x, n) => t.true(x === got.lse.data[n] || Math.abs(x - got.lse.data[n]) < 1e-4));
    }
    t.deepEqual(counting.live(), []);
  });
}
