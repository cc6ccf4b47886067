import type { StorageType } from '../../compiler/ir/program.js';
import { USAGE } from '../gpu-flags.js';
import { guarded, scoped } from '../scopes.js';
import { windowsOf, workgroupGrid } from './device-windows.js';
import {
  FILL_WORKGROUP,
  fillShader,
  fillStores,
  valueStream,
  writeValues,
  type FillWidth,
} from './random-values.js';
import { checkRange, checkRows, rowBytesOf, type RowSource } from './rows.js';

/** Words of the shader's uniform block. */
const UNIFORM_WORDS = 5;

interface Filler {
  readonly uniforms: GPUBuffer;
  /** The kernel that writes so many words an invocation; to be called between error scopes. */
  kernel(width: FillWidth): Kernel;
}

interface Kernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Rows made up from a seed, on the host and on devices. @param tensor `q`, `k` or `v`: each has numbers of its own */
export function randomRows(
  tensor: string,
  dtype: StorageType,
  shape: readonly number[],
  seed: number,
): RowSource {
  const rows = checkRows(tensor, dtype, shape);
  const rowBytes = rowBytesOf(rows);
  const dim = rows.shape[3];
  const fillers = new Map<GPUDevice, Filler>();
  const fillerOf = (device: GPUDevice): Filler => {
    const known = fillers.get(device);
    if (known) return known;
    const made = makeFiller(device, dtype, rowBytes / 4);
    fillers.set(device, made);
    return made;
  };

  const fill = async (
    device: GPUDevice,
    buffer: GPUBuffer,
    offset: number,
    batch: number,
    head: number,
    lo: number,
    hi: number,
  ): Promise<void> => {
    checkRange(rows.shape, batch, head, lo, hi);
    const keys = valueStream(seed, tensor, batch, head);
    const { problem } = scoped(device, `filling '${tensor}' with random numbers`, () => {
      const { uniforms, kernel } = fillerOf(device);
      for (const w of windowsOf(device.limits, offset, lo, hi, rowBytes)) {
        const width = rowBytes % 16 === 0 && w.at % 4 === 0 ? 4 : 1;
        const { pipeline, layout } = kernel(width);
        const words = [keys.first, keys.second, w.lo, w.words, w.at];
        // The queue keeps order: what is dispatched reads what was written just before.
        device.queue.writeBuffer(uniforms, 0, Uint32Array.from(words));
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        pass.setBindGroup(
          0,
          device.createBindGroup({
            layout,
            entries: [
              { binding: 0, resource: { buffer: uniforms } },
              { binding: 1, resource: { buffer, offset: w.offset, size: w.size } },
            ],
          }),
        );
        const count = Math.ceil(w.words / width / fillStores(rowBytes / 4, width) / FILL_WORKGROUP);
        pass.dispatchWorkgroups(...workgroupGrid(count, device.limits.maxComputeWorkgroupsPerDimension));
        pass.end();
        device.queue.submit([encoder.finish()]);
      }
    });
    const failed = await guarded(device, () => problem);
    if (failed) throw failed;
  };

  return {
    ...rows,
    identity: { kind: 'random', seed, tensor },
    read: async (batch, head, lo, hi, into) => {
      checkRange(rows.shape, batch, head, lo, hi, { given: into.byteLength, row: rowBytes });
      writeValues(valueStream(seed, tensor, batch, head), dtype, lo, hi, dim, into);
    },
    ...(rowBytes % 4 === 0 ? { fill } : {}),
    check: async () => undefined,
    close: async () => {
      for (const made of fillers.values()) made.uniforms.destroy();
      fillers.clear();
    },
  };
}

function makeFiller(device: GPUDevice, dtype: StorageType, rowWords: number): Filler {
  const kernels = new Map<FillWidth, Kernel>();
  const make = (width: FillWidth): Kernel => {
    // Made at once, not awaited: what `fill` submits must not come after what the caller submits next.
    const module = device.createShaderModule({ code: fillShader(dtype, rowWords, width) });
    const compute = { module, entryPoint: 'main' };
    const pipeline = device.createComputePipeline({ label: 'random rows', layout: 'auto', compute });
    const made = { pipeline, layout: pipeline.getBindGroupLayout(0) };
    kernels.set(width, made);
    return made;
  };
  return {
    uniforms: device.createBuffer({ size: 4 * UNIFORM_WORDS, usage: USAGE.uniform | USAGE.copyDst }),
    kernel: (width) => kernels.get(width) ?? make(width),
  };
}
