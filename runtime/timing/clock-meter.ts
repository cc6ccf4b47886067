import { createOwnKernel } from './own-kernel.js';
import { createTimestamps } from './timestamps.js';

/**
 * How fast a device's clock runs now. GPUs lower theirs when they idle for some seconds, to a fifth or less, and have
 * been seen to keep it there for more than half a second of full work: what is timed then takes that much longer, with
 * no more spread than usual.
 */
export interface ClockMeter {
  /** The clock over the highest that was seen on the adapter: 1 or less. 0 while too little was seen to tell. */
  share(): Promise<number>;
  release(): void;
}

/** One subgroup's chain of dependent multiply-adds: it takes as many cycles whatever the device has to do besides. */
const STEPS = 8;
const ROUNDS = 16384;
const WGSL = `
@group(0) @binding(0) var<storage, read_write> chain: array<f32, 32>;

@compute @workgroup_size(32)
fn run(@builtin(local_invocation_index) lane: u32) {
  var x = chain[lane];
  for (var n = 0u; n < ${ROUNDS}u; n++) {
    ${Array.from({ length: STEPS }, () => 'x = fma(x, 0.999, 0.001);').join('\n    ')}
  }
  chain[lane] = x;
}
`;

/** Milliseconds of looking at an adapter's clock after which the highest seen counts as its highest. */
const LEAST_SEEN = 1500;

/** By adapter: milliseconds of the two shortest chains, and when the first was timed. */
const seen = new Map<string, { readonly shortest: readonly [number, number]; readonly since: number }>();

/** Undefined where the device has no timestamps. */
export async function createClockMeter(device: GPUDevice): Promise<ClockMeter | undefined> {
  const label = 'attnc clock';
  const { vendor, architecture, device: model, description } = device.adapterInfo;
  const adapter = [vendor, architecture, model, description].join('\n');
  const kernel = await createOwnKernel(device, label, { code: WGSL, entryPoint: 'run', bytes: 128 });
  const stamps = createTimestamps(device, 1);
  if (typeof stamps === 'string') {
    kernel.release();
    return undefined;
  }
  return {
    share: async () => {
      const encoder = device.createCommandEncoder({ label });
      const pass = encoder.beginComputePass(stamps.passOf(0));
      kernel.dispatch(pass);
      pass.end();
      device.queue.submit([encoder.finish()]);
      const [time] = await stamps.read();
      // No clock to speak of: some software devices write the same stamp twice.
      if (!(time > 0)) return 1;
      const now = performance.now();
      const { shortest, since } = seen.get(adapter) ?? { shortest: [Infinity, Infinity], since: now };
      const [first, second] = [...shortest, time].sort((a, b) => a - b);
      seen.set(adapter, { shortest: [first, second], since });
      // The second shortest: a single wrong stamp says nothing.
      return now - since < LEAST_SEEN ? 0 : Math.min(1, second / time);
    },
    release: () => {
      stamps.release();
      kernel.release();
    },
  };
}
