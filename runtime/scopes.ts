import { AttncError, deviceLost, internalError, isAttncError, outOfMemory } from './errors.js';

/** Errors of the device as typed errors: its loss, memory, and what only a bug of ours can cause. */

/** One watch a device: promises that wait for a loss would pile up on `device.lost`, one a run, as long as it lives. */
interface Watch {
  readonly waiting: Set<(error: AttncError) => void>;
  loss: AttncError | undefined;
}

const watches = new WeakMap<GPUDevice, Watch>();

function watch(device: GPUDevice): Watch {
  const known = watches.get(device);
  if (known) return known;
  const made: Watch = { waiting: new Set(), loss: undefined };
  watches.set(device, made);
  void device.lost.then((info) => {
    made.loss = deviceLost(info.reason, info.message);
    for (const tell of made.waiting) tell(made.loss);
    made.waiting.clear();
  });
  return made;
}

/** Throws if the device is known to be lost. */
async function checkLost(device: GPUDevice): Promise<void> {
  const watched = watch(device);
  // A loss that happened already tells those who wait within a few turns.
  for (let n = 0; n < 4 && !watched.loss; n++) await Promise.resolve();
  if (watched.loss) throw watched.loss;
}

/** Fails as soon as the device is lost, instead of waiting for what will never come. */
export function untilLost<T>(device: GPUDevice, work: Promise<T>): Promise<T> {
  const watched = watch(device);
  return new Promise<T>((resolve, reject) => {
    if (watched.loss) reject(watched.loss);
    watched.waiting.add(reject);
    work.then(resolve, reject).finally(() => watched.waiting.delete(reject));
  });
}

/**
 * Runs asynchronous work on a device. Whatever fails because the device is gone (WebGPU reports that in many ways)
 * fails as `device-lost`.
 */
export async function guarded<T>(device: GPUDevice, work: () => Promise<T>): Promise<T> {
  await checkLost(device);
  try {
    return await untilLost(device, work());
  } catch (error) {
    if (!isAttncError(error, 'device-lost')) await checkLost(device);
    throw error instanceof AttncError ? error : internalError(messageOf(error), error);
  }
}

/**
 * Runs synchronous work between error scopes. The scopes are closed before this returns, so that other work on the same
 * device never falls into them; the promise tells how it went.
 */
export function scoped<T>(
  device: GPUDevice,
  what: string,
  work: () => T,
): { readonly result: T; readonly problem: Promise<AttncError | undefined> } {
  device.pushErrorScope('internal');
  device.pushErrorScope('out-of-memory');
  device.pushErrorScope('validation');
  let result: T;
  let popped: Promise<GPUError | null>[] = [];
  try {
    result = work();
  } finally {
    popped = [0, 1, 2].map(() => device.popErrorScope());
    for (const p of popped) p.catch(() => undefined);
  }
  return { result, problem: Promise.all(popped).then((errors) => typed(what, errors)) };
}

function typed(
  what: string,
  [validation, memory, internal]: readonly (GPUError | null)[],
): AttncError | undefined {
  if (memory) return outOfMemory(what, undefined, memory);
  if (validation) return internalError(`${what}: ${firstLine(validation.message)}`, validation);
  if (internal) return internalError(`${what}: ${firstLine(internal.message)}`, internal);
  return undefined;
}

function messageOf(error: unknown): string {
  return firstLine(error instanceof Error ? error.message : String(error));
}

const firstLine = (text: string): string => text.split('\n')[0];
