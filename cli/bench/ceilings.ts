import { Arena } from '../../runtime/arena.js';
import { USAGE } from '../../runtime/gpu-flags.js';
import type { MatrixConfig } from '../../runtime/node/index.js';
import { guarded, scoped } from '../../runtime/scopes.js';
import { record, timeRuns, type Recording } from '../../runtime/timing/index.js';
import { copyWgsl, fmaWgsl, matrixWgsl, COPY, FMA, MATRIX } from './ceiling-kernels.js';

/** What a device can do at best, measured with kernels that do nothing else. */
export interface Ceilings {
  /** Bytes a second, read and written, of a copy that no cache holds. */
  readonly copy: number;
  /** FLOP a second of float32 multiply-adds on operands in registers. */
  readonly f32: number;
  /** FLOP a second of f16 products with f32 sums on subgroup matrices in registers; undefined without them. */
  readonly matrix: number | undefined;
  /** `16×16×16`, or why there is no figure. */
  readonly matrixShape: string;
}

export interface CeilingOptions {
  /** Devices that are programs get small problems: a second of work each is enough. */
  readonly software: boolean;
  readonly matrices: readonly MatrixConfig[];
}

interface Problem {
  readonly code: string;
  readonly constants: Readonly<Record<string, number>>;
  readonly workgroups: number;
  /** Bytes of the buffers at bindings 0 (read) and 1 (written). */
  readonly reads: number;
  readonly writes: number;
}

const TIMING = { warmUp: 60, patience: 60 } as const;

export async function measureCeilings(device: GPUDevice, options: CeilingOptions): Promise<Ceilings> {
  const small = options.software;
  const most = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
  const bytes = Math.min(small ? 2 ** 23 : 2 ** 29, 2 ** Math.floor(Math.log2(most)));
  const copy = await seconds(device, small, {
    code: copyWgsl(),
    constants: {},
    workgroups: bytes / COPY.bytesAWorkgroup,
    reads: bytes,
    writes: bytes,
  });

  const fma = { workgroups: small ? 64 : 4096, iterations: small ? 16 : 2048 };
  const f32 = await seconds(device, small, {
    code: fmaWgsl(),
    constants: { iterations: fma.iterations },
    workgroups: fma.workgroups,
    reads: 1024,
    writes: 16 * FMA.invocations * fma.workgroups,
  });

  return {
    copy: (2 * bytes) / copy,
    f32: (fma.workgroups * FMA.invocations * fma.iterations * FMA.flopsAnIteration) / f32,
    ...(await matrixCeiling(device, options)),
  };
}

async function matrixCeiling(
  device: GPUDevice,
  { software, matrices }: CeilingOptions,
): Promise<Pick<Ceilings, 'matrix' | 'matrixShape'>> {
  const [config] = matrices
    .filter((c) => c.componentType === 'f16' && c.resultComponentType === 'f32')
    .sort((a, b) => b.m * b.n * b.k - a.m * a.n * a.k);
  if (!device.features.has(MATRIX.feature) || config === undefined) {
    return { matrix: undefined, matrixShape: 'the device has no f16 subgroup matrices with f32 sums' };
  }
  const { m, n, k } = config;
  const { workgroups, iterations } = software
    ? { workgroups: 4, iterations: 16 }
    : { workgroups: 1056, iterations: 4096 };
  const subgroups = MATRIX.invocations / subgroupSize(device);
  try {
    const time = await seconds(device, software, {
      code: matrixWgsl(config),
      constants: { iterations },
      workgroups,
      reads: 2 ** 14,
      writes: 4 * workgroups * subgroups * MATRIX.sums * m * n,
    });
    const products = workgroups * subgroups * iterations * MATRIX.sums;
    return { matrix: (products * 2 * m * n * k) / time, matrixShape: `${m}×${n}×${k}` };
  } catch (error) {
    // A device that lists matrices and can't multiply them is no reason to tell nothing else.
    return { matrix: undefined, matrixShape: error instanceof Error ? error.message : String(error) };
  }
}

/** Where subgroups may have several sizes, matrices go with the largest. */
function subgroupSize(device: GPUDevice): number {
  return device.adapterInfo.subgroupMaxSize || 32;
}

/** Median time of one dispatch. */
async function seconds(device: GPUDevice, software: boolean, problem: Problem): Promise<number> {
  const arena = new Arena(device);
  try {
    const pipeline = await guarded(device, () =>
      device.createComputePipelineAsync({
        layout: 'auto',
        compute: {
          module: device.createShaderModule({ code: problem.code }),
          constants: { ...problem.constants },
        },
      }),
    );
    const { result: recording, problem: fault } = scoped(device, 'measuring ceilings', (): Recording => {
      const from = arena.create('ceiling operands', problem.reads, USAGE.storage | USAGE.copyDst);
      const to = arena.create('ceiling results', problem.writes, USAGE.storage);
      device.queue.writeBuffer(from, 0, operands(Math.min(problem.reads, 2 ** 14)));
      const group = device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [from, to].map((buffer, binding) => ({ binding, resource: { buffer } })),
      });
      return record((pass) => {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(problem.workgroups);
      });
    });
    const error = await fault;
    if (error) throw error;
    const { time } = await timeRuns(device, [recording], { ...TIMING, settle: !software });
    return time.median / 1000;
  } finally {
    arena.release();
  }
}

/** Numbers between 1/2 and 1 whether they are read as f16 or as f32: sums stay finite, and power use is honest. */
function operands(bytes: number): Uint16Array<ArrayBuffer> {
  let state = 1;
  return Uint16Array.from({ length: bytes / 2 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 0x3800 | (state >>> 22);
  });
}
