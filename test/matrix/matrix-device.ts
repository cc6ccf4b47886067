// A device with subgroup matrices, for the tests in this folder; where there is none they are skipped and say why.

import test, { type ExecutionContext } from 'ava';
import { MATRIX_FEATURE } from '../../runtime/node/adapter.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';

const found = await openDevice({ features: 'offered', limits: 'offered' });
const there = found.device.features.has(MATRIX_FEATURE);
if (there) test.after.always(() => found.close());
else found.close();

/** The device: ask for it within a matrixTest only. */
export const opened: OpenedDevice = found;

/** A test that needs subgroup matrices; elsewhere it is skipped, and its title says so. */
export function matrixTest(title: string, run: (t: ExecutionContext) => Promise<void> | void): void {
  if (there) test.serial(title, run);
  else test.skip(`${title} (skipped: ${found.name} has no subgroup matrices)`, run);
}
