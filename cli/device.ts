import type { Program } from '../compiler/ir/program.js';
import { requirements } from '../runtime/prepare.js';
import type { OpenedDevice } from '../runtime/node/index.js';
import type { Session } from './session.js';

/** Opens the device asked for, or the best one, with the limits that it has and the features that the programs need. */
export async function openFor(
  session: Session,
  device: string | undefined,
  programs: readonly Program[],
): Promise<OpenedDevice> {
  const { openDevice } = await import('../runtime/node/index.js');
  session.progress.step('opening a device');
  const features = [...new Set(programs.flatMap((p) => requirements(p).features))];
  return openDevice({
    device,
    features,
    limits: 'offered',
    onProblem: (message) => session.note(`attnc: ${message}`),
  });
}
