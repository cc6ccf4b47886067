import { guarded, scoped, untilLost } from '../scopes.js';
import { createClockMeter } from './clock-meter.js';
import { createFence, type Fence } from './fence.js';
import type { Recording } from './record.js';
import { spreadOf, type Spread } from './spread.js';
import { createTimestamps, type Timestamps } from './timestamps.js';

/** How long recorded dispatches take on a device. */

export interface TimingOptions {
  /** Milliseconds of work before anything is timed, so that clocks have risen. 300 if not given. */
  readonly warmUp?: number | undefined;
  /** Go on warming up (if there is any) until the device's clock is up, for some seconds at most: for GPUs. */
  readonly settle?: boolean | undefined;
  /** Runs to time; as many as fit into `patience` if not given. */
  readonly runs?: number | undefined;
  /** Milliseconds of timed work, about, where `runs` is not given. 500 if not given. */
  readonly patience?: number | undefined;
  /** Never timestamps, also where the device has them; for tests. */
  readonly wall?: boolean | undefined;
}

export interface Timing {
  /** Milliseconds a run. */
  readonly time: Spread;
  readonly runs: number;
  /**
   * `timestamps`: written by the device at the beginning and the end of every run. `wall`: time from a batch's
   * submission until the host knew of its end, divided by its runs; then every value is the mean of a batch.
   */
  readonly clock: 'timestamps' | 'wall';
  /** Why not timestamps. */
  readonly why: string | undefined;
  readonly warmUp: {
    readonly runs: number;
    readonly milliseconds: number;
    /** The device's clock at its end over the highest seen (`settle`); undefined where nothing tells. */
    readonly clock: number | undefined;
  };
}

/** Runs timed where only `patience` says how many. */
const FEWEST = 10;
const MOST = 1000;
/** Milliseconds of work in one submission, and the most runs in it. */
const BATCH = { milliseconds: 20, runs: 64 } as const;
/** A clock is up from this part of the highest on: under load it may be a little lower. */
export const CLOCK_UP = 0.8;
/** Milliseconds to wait for it at most, and between looks. */
const RISING = { most: 5000, step: 50 } as const;
/** Batches of wall time, at least. */
const WALL_BATCHES = 8;

/**
 * Times runs of the recordings, one after the other in turn: each on buffers of its own, so that no run finds in a
 * cache what the last one left there. Runs don't overlap.
 */
export function timeRuns(
  device: GPUDevice,
  recordings: readonly Recording[],
  options: TimingOptions = {},
): Promise<Timing> {
  return guarded(device, async () => {
    const fence = await createFence(device);
    try {
      return await timeFenced(device, recordings, fence, options);
    } finally {
      fence.release();
    }
  });
}

async function timeFenced(
  device: GPUDevice,
  recordings: readonly Recording[],
  fence: Fence,
  options: TimingOptions,
): Promise<Timing> {
  let next = 0;
  /** One submission; fails where the device finds fault with it. */
  const submit = (runs: number, stamps?: Timestamps, first = 0): Promise<void> => {
    const { problem } = scoped(device, 'timing', () => {
      const encoder = device.createCommandEncoder({ label: 'attnc timing' });
      for (let n = 0; n < runs; n++) {
        // The run may begin beside the fence, which waits for the one before: timed from where that ended, both are as
        // long as the run alone.
        const pass = encoder.beginComputePass(stamps ? stamps.passOf(first + n) : {});
        fence.dispatch(pass);
        recordings[next++ % recordings.length].replay(pass);
        pass.end();
      }
      device.queue.submit([encoder.finish()]);
    });
    return problem.then((error) => {
      if (error) throw error;
    });
  };
  const finished = (): Promise<undefined> => untilLost(device, device.queue.onSubmittedWorkDone());

  // Every buffer once, before its time says anything.
  const begun = performance.now();
  await submit(recordings.length);
  await finished();
  let warm = recordings.length;
  let batch = 1;
  let each = Infinity;
  const least = options.warmUp ?? 300;
  const work = async (): Promise<void> => {
    const start = performance.now();
    await submit(batch);
    await finished();
    each = Math.min(each, (performance.now() - start) / batch);
    warm += batch;
    batch = batchOf(each);
  };
  while (each === Infinity || performance.now() - begun < least) await work();
  const clock = options.settle === true && least > 0 ? await rise() : undefined;
  const warmUp = { runs: warm, milliseconds: performance.now() - begun, clock };
  const wanted = Math.ceil((options.patience ?? 500) / each);
  const runs = Math.max(1, options.runs ?? Math.min(MOST, Math.max(FEWEST, wanted)));

  const asked = options.wall !== true;
  const stamps = asked ? createTimestamps(device, runs) : 'wall time was asked for';
  if (typeof stamps === 'string') return { ...(await wallTimes(runs)), clock: 'wall', why: stamps, warmUp };
  try {
    // All queued before anything is waited for: between two runs the device never idles.
    const problems: Promise<void>[] = [];
    const start = performance.now();
    for (let first = 0; first < runs; first += batch) {
      problems.push(submit(Math.min(batch, runs - first), stamps, first));
    }
    await Promise.all(problems);
    const times = await stamps.read();
    const why = doubt(times, performance.now() - start);
    if (why === undefined) return { time: spreadOf(times), runs, clock: 'timestamps', why, warmUp };
    return { ...(await wallTimes(runs)), clock: 'wall', why, warmUp };
  } finally {
    stamps.release();
  }

  /** Works on until the clock is up. */
  async function rise(): Promise<number | undefined> {
    const meter = await createClockMeter(device);
    if (!meter) return undefined;
    try {
      const start = performance.now();
      let share = await meter.share();
      while (share < CLOCK_UP && performance.now() - start < RISING.most) {
        for (const from = performance.now(); performance.now() - from < RISING.step;) await work();
        share = await meter.share();
      }
      return share;
    } finally {
      meter.release();
    }
  }

  async function wallTimes(all: number): Promise<Pick<Timing, 'time' | 'runs'>> {
    const size = Math.max(1, Math.min(batch, Math.floor(all / WALL_BATCHES)));
    const times: number[] = [];
    for (let done = 0; done < all; done += size) {
      const start = performance.now();
      await submit(size);
      await finished();
      times.push((performance.now() - start) / size);
    }
    return { time: spreadOf(times), runs: times.length * size };
  }
}

/** Runs in a submission, for a run of so many milliseconds. */
function batchOf(each: number): number {
  return Math.max(1, Math.min(BATCH.runs, Math.floor(BATCH.milliseconds / each)));
}

/** Software devices have been seen to write timestamps of nothing: why these can't be, if they can't. */
export function doubt(times: readonly number[], wall: number): string | undefined {
  if (!times.every((t) => t > 0)) return 'the device writes timestamps that do not rise';
  const sum = times.reduce((a, b) => a + b, 0);
  // Of short runs the host takes much longer to submit them than the device to do them.
  if (sum * 100 >= wall) return undefined;
  return `the device's timestamps tell of ${sum.toPrecision(2)} of ${wall.toPrecision(2)} ms`;
}
