// A device with all that it offers, for tests of kernels that use subgroups; what it can't run is skipped and says why.

import test, { type ExecutionContext } from 'ava';
import type { Variant } from '../../compiler/ir/program.js';
import { openDevice } from '../../runtime/node/index.js';
import { lacking } from '../../runtime/prepare.js';

export const opened = await openDevice({ features: 'offered', limits: 'offered' });
test.after.always(() => opened.close());

/** A test that runs these variants; where the device lacks something for one of them it is skipped. */
export function variantTest(
  title: string,
  variants: readonly Variant[],
  run: (t: ExecutionContext) => Promise<void>,
): void {
  const missing = variants.map((v) => lacking(opened.device, v)).find((m) => m !== undefined);
  if (missing) test.skip(`${title} (skipped on ${opened.name}: ${missing.message})`, run);
  else test.serial(title, run);
}
