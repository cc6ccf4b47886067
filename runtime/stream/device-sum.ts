import { MAP_MODE_READ, USAGE } from '../gpu-flags.js';
import { guarded, scoped } from '../scopes.js';
import { windowsOf, type DeviceWindow } from './device-windows.js';
import {
  addSums,
  NO_ROWS,
  SUM_WORKGROUP,
  sumKey,
  sumShader,
  type RowSum,
  type SummedTensor,
  type SumWidth,
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

const UNIFORM_WORDS = 4;

/** Words that an invocation hashes where there are enough of them. */
const WORDS_EACH = 32;

/** Bytes of the buffer that sums and kept rows are read back through, at least: room for some rows. */
const LEAST_READBACK = 4096;

/** Of a call, for the next one. */
interface Scratch {
  readonly sums: GPUBuffer;
  /** A slot for each dispatch. */
  readonly uniforms: GPUBuffer;
  readonly back: GPUBuffer;
  readonly bytes: number;
}

interface Dispatch {
  readonly window: DeviceWindow;
  readonly buffer: GPUBuffer;
  readonly key: number;
  readonly kernel: Kernel;
}

interface Kernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export function deviceSummer(device: GPUDevice): DeviceSummer {
  const kernels = new Map<string, Kernel>();
  const slot = device.limits.minUniformBufferOffsetAlignment;
  const kernelOf = (rowWords: number, width: SumWidth): Kernel => {
    const name = `${rowWords} ${width}`;
    const known = kernels.get(name);
    if (known) return known;
    // Made at once, not awaited: what `sum` submits must not come after what the caller submits next.
    const module = device.createShaderModule({ code: sumShader(rowWords, width) });
    const compute = { module, entryPoint: 'main' };
    const pipeline = device.createComputePipeline({ label: 'sum of rows', layout: 'auto', compute });
    const made = { pipeline, layout: pipeline.getBindGroupLayout(0) };
    kernels.set(name, made);
    return made;
  };
  // Kept: making or freeing a buffer that is mapped takes drivers a millisecond or more.
  let free: Scratch[] = [];
  const take = (bytes: number, dispatches: number): Scratch => {
    const fitting = free.find((s) => s.bytes >= bytes && s.uniforms.size >= slot * dispatches);
    if (fitting) {
      free = free.filter((s) => s !== fitting);
      return fitting;
    }
    const size = Math.max(LEAST_READBACK, bytes);
    return {
      uniforms: device.createBuffer({
        size: slot * Math.max(1, dispatches),
        usage: USAGE.uniform | USAGE.copyDst,
      }),
      sums: device.createBuffer({ size: 8, usage: USAGE.storage | USAGE.copySrc | USAGE.copyDst }),
      back: device.createBuffer({ size, usage: USAGE.mapRead | USAGE.copyDst }),
      bytes: size,
    };
  };
  const release = ({ sums, uniforms, back }: Scratch): void => {
    sums.destroy();
    uniforms.destroy();
    back.destroy();
  };
  let closed = false;

  /** Of all rows, window by window. */
  const dispatchesOf = (rows: readonly SummedRows[]): readonly Dispatch[] =>
    rows.flatMap((r) =>
      windowsOf(device.limits, r.part.offset, r.lo, r.hi, r.rowBytes).map((window) => ({
        window,
        buffer: r.part.buffer,
        key: sumKey(r.tensor, r.batch, r.head),
        kernel: kernelOf(r.rowBytes / 4, r.rowBytes % 16 === 0 && window.at % 4 === 0 ? 4 : 1),
      })),
    );

  const encodeSums = (
    encoder: GPUCommandEncoder,
    { sums, uniforms }: Scratch,
    dispatches: readonly Dispatch[],
  ): void => {
    const words = new Uint32Array((slot / 4) * dispatches.length);
    dispatches.forEach(({ key, window: w }, n) => words.set([key, w.lo, w.words, w.at], (slot / 4) * n));
    device.queue.writeBuffer(uniforms, 0, words);
    const pass = encoder.beginComputePass();
    dispatches.forEach(({ window: w, buffer, kernel: { pipeline, layout } }, n) => {
      pass.setPipeline(pipeline);
      pass.setBindGroup(
        0,
        device.createBindGroup({
          layout,
          entries: [
            { binding: 0, resource: { buffer: uniforms, offset: slot * n, size: 4 * UNIFORM_WORDS } },
            { binding: 1, resource: { buffer, offset: w.offset, size: w.size } },
            { binding: 2, resource: { buffer: sums } },
          ],
        }),
      );
      const count = Math.ceil(w.words / SUM_WORKGROUP / WORDS_EACH);
      pass.dispatchWorkgroups(Math.min(count, device.limits.maxComputeWorkgroupsPerDimension));
    });
    pass.end();
  };

  return {
    sum: (rows, kept = []) => {
      const bytes = kept.reduce((total, k) => total + k.size, 8);
      const { result: scratch, problem } = scoped(device, 'the sum of rows', () => {
        const dispatches = dispatchesOf(rows);
        const made = take(bytes, dispatches.length);
        const { sums, back } = made;
        device.queue.writeBuffer(sums, 0, new Uint32Array(2));
        const encoder = device.createCommandEncoder();
        encodeSums(encoder, made, dispatches);
        encoder.copyBufferToBuffer(sums, 0, back, 0, 8);
        let at = 8;
        for (const k of kept) {
          encoder.copyBufferToBuffer(k.buffer, k.offset, back, at, k.size);
          at += k.size;
        }
        device.queue.submit([encoder.finish()]);
        return made;
      });
      return guarded(device, async () => {
        let whole = false;
        try {
          const failed = await problem;
          if (failed) throw failed;
          await scratch.back.mapAsync(MAP_MODE_READ, 0, bytes);
          const found = new Uint8Array(scratch.back.getMappedRange(0, bytes).slice(0));
          scratch.back.unmap();
          whole = !closed;
          const [a, b] = new Uint32Array(found.buffer, 0, 2);
          let at = 8;
          const rowsKept = kept.map((k) => found.slice(at, (at += k.size)));
          return { sum: addSums(NO_ROWS, { a, b }), kept: rowsKept };
        } finally {
          if (whole) free.push(scratch);
          else release(scratch);
        }
      });
    },
    close: () => {
      closed = true;
      for (const scratch of free.splice(0)) release(scratch);
    },
  };
}
