import { MAP_MODE_READ, USAGE } from '../gpu-flags.js';
import { guarded, scoped } from '../scopes.js';
import { windowsOf } from './device-windows.js';
import {
  addSums,
  NO_ROWS,
  SUM_SHADER,
  SUM_WORKGROUP,
  sumKey,
  type RowSum,
  type SummedTensor,
} from './row-sum.js';
import type { BufferPart } from './rows.js';

/** Rows on the device whose sum is wanted. */
export interface SummedRows {
  readonly tensor: SummedTensor;
  readonly batch: number;
  readonly head: number;
  readonly lo: number;
  readonly hi: number;
  readonly part: BufferPart;
  /** A multiple of 4. */
  readonly rowBytes: number;
}

/** Sums rows where they lie on the device: 8 bytes are downloaded for each call. */
export interface DeviceSummer {
  /**
   * Submits before it returns; resolves to the sum and to copies of the `kept` parts, one after another. Several may be
   * under way.
   */
  sum(
    rows: readonly SummedRows[],
    kept?: readonly (BufferPart & { readonly size: number })[],
  ): Promise<{
    readonly sum: RowSum;
    readonly kept: readonly Uint8Array[];
  }>;
  close(): void;
}

const UNIFORM_WORDS = 5;

/** Words that an invocation hashes where there are enough of them. */
const WORDS_EACH = 32;

export function deviceSummer(device: GPUDevice): DeviceSummer {
  // Made at once, not awaited: what `sum` submits must not come after what the caller submits next.
  const { result, problem: broken } = scoped(device, 'the kernel that sums rows', () => {
    const pipeline = device.createComputePipeline({
      label: 'sum of rows',
      layout: 'auto',
      compute: { module: device.createShaderModule({ code: SUM_SHADER }), entryPoint: 'main' },
    });
    const uniforms = device.createBuffer({ size: 4 * UNIFORM_WORDS, usage: USAGE.uniform | USAGE.copyDst });
    return { pipeline, layout: pipeline.getBindGroupLayout(0), uniforms };
  });
  const { pipeline, layout, uniforms } = result;

  const submitSum = (r: SummedRows, sums: GPUBuffer): void => {
    const key = sumKey(r.tensor, r.batch, r.head);
    for (const w of windowsOf(device.limits, r.part.offset, r.lo, r.hi, r.rowBytes)) {
      // The queue keeps order: what is dispatched reads what was written just before.
      device.queue.writeBuffer(uniforms, 0, Uint32Array.of(key, w.lo, w.words, r.rowBytes / 4, w.at));
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(
        0,
        device.createBindGroup({
          layout,
          entries: [
            { binding: 0, resource: { buffer: uniforms } },
            { binding: 1, resource: { buffer: r.part.buffer, offset: w.offset, size: w.size } },
            { binding: 2, resource: { buffer: sums } },
          ],
        }),
      );
      const count = Math.ceil(w.words / SUM_WORKGROUP / WORDS_EACH);
      pass.dispatchWorkgroups(Math.min(count, device.limits.maxComputeWorkgroupsPerDimension));
      pass.end();
      device.queue.submit([encoder.finish()]);
    }
  };

  return {
    sum: (rows, kept = []) => {
      const keptBytes = kept.reduce((total, k) => total + k.size, 0);
      const made: GPUBuffer[] = [];
      const { result: readback, problem } = scoped(device, 'the sum of rows', () => {
        const sums = device.createBuffer({ size: 8, usage: USAGE.storage | USAGE.copySrc });
        made.push(sums);
        const back = device.createBuffer({ size: 8 + keptBytes, usage: USAGE.mapRead | USAGE.copyDst });
        made.push(back);
        for (const r of rows) submitSum(r, sums);
        const encoder = device.createCommandEncoder();
        encoder.copyBufferToBuffer(sums, 0, back, 0, 8);
        let at = 8;
        for (const k of kept) {
          encoder.copyBufferToBuffer(k.buffer, k.offset, back, at, k.size);
          at += k.size;
        }
        device.queue.submit([encoder.finish()]);
        return back;
      });
      return guarded(device, async () => {
        try {
          const failed = (await broken) ?? (await problem);
          if (failed) throw failed;
          await readback.mapAsync(MAP_MODE_READ);
          const bytes = new Uint8Array(readback.getMappedRange().slice(0));
          const [a, b] = new Uint32Array(bytes.buffer, 0, 2);
          let at = 8;
          const rowsKept = kept.map((k) => bytes.slice(at, (at += k.size)));
          return { sum: addSums(NO_ROWS, { a, b }), kept: rowsKept };
        } finally {
          for (const buffer of made) buffer.destroy();
        }
      });
    },
    close: () => uniforms.destroy(),
  };
}
