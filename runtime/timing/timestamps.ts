import { MAP_MODE_READ, USAGE } from '../gpu-flags.js';
import { untilLost } from '../scopes.js';

/** Times that the device writes when a pass begins and ends. */
export interface Timestamps {
  /** What to begin pass `n` with. */
  passOf(n: number): GPUComputePassDescriptor;
  /** Milliseconds of every pass, once all are submitted one after the other. */
  read(): Promise<number[]>;
  release(): void;
}

/** Most queries in a set (WebGPU's limit), two a pass. */
const QUERIES = 4096;
/** WebGPU's usage flags that nothing else needs. */
const QUERY_RESOLVE = 0x200;

/** Or why there are none. */
export function createTimestamps(device: GPUDevice, passes: number): Timestamps | string {
  if (!device.features.has('timestamp-query')) return 'the device has no timestamp-query';
  const label = 'attnc timestamps';
  const sets = Array.from({ length: Math.ceil((2 * passes) / QUERIES) }, (_, n) =>
    device.createQuerySet({ label, type: 'timestamp', count: Math.min(QUERIES, 2 * passes - n * QUERIES) }),
  );
  const size = 16 * passes;
  const resolved = device.createBuffer({ label, size, usage: QUERY_RESOLVE | USAGE.copySrc });
  const readback = device.createBuffer({ label, size, usage: USAGE.mapRead | USAGE.copyDst });
  return {
    passOf: (n) => {
      const at = (2 * n) % QUERIES;
      return {
        label,
        timestampWrites: {
          querySet: sets[Math.floor((2 * n) / QUERIES)],
          beginningOfPassWriteIndex: at,
          endOfPassWriteIndex: at + 1,
        },
      };
    },
    read: async () => {
      const encoder = device.createCommandEncoder({ label });
      sets.forEach((set, n) => encoder.resolveQuerySet(set, 0, set.count, resolved, 8 * QUERIES * n));
      encoder.copyBufferToBuffer(resolved, 0, readback, 0, size);
      device.queue.submit([encoder.finish()]);
      await untilLost(device, readback.mapAsync(MAP_MODE_READ));
      const stamps = new BigInt64Array(readback.getMappedRange().slice(0));
      readback.unmap();
      return passTimes(stamps);
    },
    release: () => {
      for (const set of sets) set.destroy();
      resolved.destroy();
      readback.destroy();
    },
  };
}

/**
 * Milliseconds of passes that don't overlap, from nanoseconds at the beginning and the end of each. Some backends stamp
 * the beginning as soon as the pass is looked at, while the one before it still runs: then it begins where that ends.
 */
export function passTimes(stamps: BigInt64Array): number[] {
  return Array.from({ length: stamps.length / 2 }, (_, n) => {
    const begin = stamps[2 * n];
    const before = n > 0 ? stamps[2 * n - 1] : begin;
    return Number(stamps[2 * n + 1] - (before > begin ? before : begin)) / 1e6;
  });
}
