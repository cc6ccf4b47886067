import type { Program, StorageType } from '../compiler/ir/program.js';
import { USAGE, MAP_MODE_READ } from './gpu-flags.js';
import { f16FromNumber } from './half.js';
import { guarded, scoped } from './scopes.js';

/**
 * WGSL leaves open how a device rounds to f16, so kernels round by integers, which takes a window's kernel 3 % of its
 * time. Many devices round as they should by themselves. Each is asked once: numbers of every exponent, at, beside and
 * half way between halves, past the range, and NaN, as the program's own text converts them.
 */

const WORKGROUP = 64;

/** Fractions of halves: ends, a few in between, even and odd. */
const FRACTIONS = [0, 1, 2, 3, 0x0ff, 0x100, 0x155, 0x1ff, 0x200, 0x201, 0x2aa, 0x3fc, 0x3fd, 0x3fe, 0x3ff];
/** Below 2^-14 halves have fewer bits of it: ties there, after even and odd ones. */
const SHORT_FRACTIONS = [
  4, 6, 8, 0x00c, 0x010, 0x018, 0x020, 0x030, 0x040, 0x060, 0x080, 0x0c0, 0x180, 0x300,
];
/** What follows them in 13 more bits: nothing, the least, about a half, and the most. */
const RESTS = [0, 1, 0x0ffe, 0x0fff, 0x1000, 0x1001, 0x1002, 0x1fff];
/** Exponents of f32, biased: from far below the least half (2^-24) to past the largest, and the ends of f32. */
const EXPONENTS = [0, 1, 64, ...Array.from({ length: 45 }, (_, n) => 100 + n), 200, 254, 255];
/** Signs of the two halves of a word, in turn. */
const SIGNS = [
  [0, 1],
  [1, 0],
  [0, 0],
  [1, 1],
] as const;

/** Bits of f32s, in whole quads, and of the halves that they round to (of NaN any that is NaN). */
export interface RoundingProbe {
  readonly given: Uint32Array<ArrayBuffer>;
  readonly halves: Uint16Array;
}

export function roundingProbe(): RoundingProbe {
  const bits = EXPONENTS.flatMap((exponent, e) =>
    [...FRACTIONS, ...SHORT_FRACTIONS].flatMap((fraction, f) =>
      RESTS.flatMap((rest, r) => {
        const size = (exponent << 23) | (fraction << 13) | rest;
        return SIGNS[(e + f + r) % SIGNS.length].map((sign) => (size | (sign << 31)) >>> 0);
      }),
    ),
  );
  const given = Uint32Array.from(bits);
  return { given, halves: Uint16Array.from(new Float32Array(given.buffer), f16FromNumber) };
}

/** Whether these are the halves that the numbers of a probe round to. */
export function isExact({ halves }: RoundingProbe, found: Uint16Array): boolean {
  const isNaN = (half: number): boolean => (half & 0x7fff) > 0x7c00;
  return (
    found.length === halves.length && halves.every((h, n) => (isNaN(h) ? isNaN(found[n]) : h === found[n]))
  );
}

const answers = new WeakMap<GPUDevice, Map<string, Promise<boolean>>>();

/**
 * Whether the device itself converts results to this type as it should, so that `Preludes.directOutputs` may be used.
 * Asked once a device, which does so when it has done what it was asked before. @throws AttncError `device-lost`,
 * `out-of-memory`
 */
export function convertsExactly(
  device: GPUDevice,
  program: Pick<Program, 'preludes'>,
  output: StorageType,
): Promise<boolean> {
  const prelude = program.preludes.directOutputs?.[output];
  // The probe is one of f16, the only type that there is such text for.
  if (prelude === undefined || output !== 'f16') return Promise.resolve(false);
  let known = answers.get(device);
  if (!known) answers.set(device, (known = new Map<string, Promise<boolean>>()));
  const before = known.get(prelude);
  if (before) return before;
  const probe = roundingProbe();
  const answer = guarded(device, async () => isExact(probe, await convert(device, prelude, probe.given)));
  known.set(prelude, answer);
  answer.catch(() => known.delete(prelude));
  return answer;
}

async function convert(
  device: GPUDevice,
  prelude: string,
  words: Uint32Array<ArrayBuffer>,
): Promise<Uint16Array> {
  const label = 'attnc rounding';
  const code = `${prelude}

@group(0) @binding(0) var<storage, read> given: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> made: array<OutQuad>;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < arrayLength(&given)) {
    made[id.x] = write_out(bitcast<vec4<f32>>(given[id.x]));
  }
}
`;
  const size = words.byteLength / 2;
  const buffers: GPUBuffer[] = [];
  const buffer = (bytes: number, usage: number): GPUBuffer => {
    const made = device.createBuffer({ label, size: bytes, usage });
    buffers.push(made);
    return made;
  };
  try {
    const { result: back, problem } = scoped(device, 'asking how the device rounds', () => {
      const module = device.createShaderModule({ label, code });
      const compute = { module, entryPoint: 'main' };
      const pipeline = device.createComputePipeline({ label, layout: 'auto', compute });
      const given = buffer(words.byteLength, USAGE.storage | USAGE.copyDst);
      const made = buffer(size, USAGE.storage | USAGE.copySrc);
      const readback = buffer(size, USAGE.mapRead | USAGE.copyDst);
      device.queue.writeBuffer(given, 0, words);
      const encoder = device.createCommandEncoder({ label });
      const pass = encoder.beginComputePass({ label });
      pass.setPipeline(pipeline);
      const entries = [given, made].map((b, binding) => ({ binding, resource: { buffer: b } }));
      pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
      pass.dispatchWorkgroups(Math.ceil(words.length / 4 / WORKGROUP));
      pass.end();
      encoder.copyBufferToBuffer(made, 0, readback, 0, size);
      device.queue.submit([encoder.finish()]);
      return readback;
    });
    const failed = await problem;
    if (failed) throw failed;
    await back.mapAsync(MAP_MODE_READ);
    return new Uint16Array(back.getMappedRange().slice(0));
  } finally {
    for (const made of buffers) made.destroy();
  }
}
