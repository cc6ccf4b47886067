import type { OpenedDevice } from '../runtime/node/index.js';
import type { Session } from './session.js';

/** Opens the device asked for, or the best one, with all the limits and features that kernels make use of. */
export async function openFor(session: Session, device: string | undefined): Promise<OpenedDevice> {
  const { openDevice } = await import('../runtime/node/index.js');
  session.progress.step('opening a device');
  return openDevice({
    device,
    features: 'offered',
    limits: 'offered',
    onProblem: (message) => session.note(`attnc: ${message}`),
  });
}
