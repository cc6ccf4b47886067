import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { compare, rowReference } from '../../runtime/reference/index.js';
import { fileRows } from '../../runtime/stream/node/file-rows.js';
import { fileSink } from '../../runtime/stream/node/file-sink.js';
import { runStream, type StreamStats } from '../../runtime/stream/pipeline.js';
import { planStream } from '../../runtime/stream/plan.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import { keptResults } from '../../runtime/stream/summary.js';
import { forgetFiles, shapeOf, type BusRates, type DiskRate, type Inputs } from './disk.js';
import { spread } from './resident.js';
import { compileSubject, DTYPE, SEED, type Subject } from './subjects.js';

/** A run from files into a file, beside what disk and bus can do in the same minute. */

export interface FilesResult {
  readonly tokens: number;
  readonly seconds: number;
  readonly disk: DiskRate;
  readonly bus: BusRates;
  /** Seconds that the slower of disk and bus takes for what has to pass them. */
  readonly bound: number;
  /** Most memory that the process held while it ran, and before. */
  readonly peakBytes: number;
  readonly beforeBytes: number;
  readonly hostBytes: number;
  readonly rows: number;
  readonly error: number;
  readonly pass: boolean;
  readonly stats: StreamStats;
}

export interface FilesOptions {
  readonly deviceBytes: number;
  readonly hostBytes: number;
  readonly bindingBytes: number | undefined;
  readonly rows: number;
  readonly say: (line: string) => void;
}

export async function runFiles(
  device: GPUDevice,
  subject: Subject,
  { folder, tokens, paths, disk, bus }: Inputs,
  options: FilesOptions,
): Promise<FilesResult> {
  const program = compileSubject(subject);
  const shape = shapeOf(tokens);
  const result = join(folder, 'out.npy');
  const { deviceBytes, hostBytes, bindingBytes, say } = options;
  const stream = { out: DTYPE, deviceBytes, hostBytes, bindingBytes } as const;
  const sources = { q: await fileRows(paths.q), k: await fileRows(paths.k), v: await fileRows(paths.v) };
  const places = spread(tokens, options.rows);
  try {
    const sink = await fileSink(result, DTYPE, shape, { keep: places });
    try {
      if (disk.cold) forgetFiles();
      say('streaming');
      const beforeBytes = process.memoryUsage().rss;
      let peakBytes = beforeBytes;
      const watch = setInterval(() => (peakBytes = Math.max(peakBytes, process.memoryUsage().rss)), 20);
      const start = performance.now();
      const planned = planStream(program, sources, {}, device.limits, stream);
      const stats = await runStream(device, program, planned, sources, sink, stream).finally(() =>
        clearInterval(watch),
      );
      const { kept } = await sink.finish();
      const seconds = (performance.now() - start) / 1000;
      say(`${subject.id}: ${kept.length} rows by the oracle`);
      const random = (name: 'q' | 'k' | 'v') => randomRows(name, DTYPE, shape, SEED);
      const truth = { q: random('q'), k: random('k'), v: random('v') };
      const expected = await rowReference(program.pattern, truth, places);
      const report = compare(keptResults(kept, DTYPE), expected, { input: DTYPE, output: DTYPE });
      const { uploadedBytes, downloadedBytes } = stats;
      const onDisk = (disk.seconds * (uploadedBytes + downloadedBytes)) / disk.bytes;
      const onBus = Math.max(uploadedBytes / bus.up, downloadedBytes / bus.down);
      return {
        ...{ tokens, seconds, disk, bus, bound: Math.max(onDisk, onBus), peakBytes, beforeBytes, hostBytes },
        ...{ rows: kept.length, error: report.whole.error, pass: report.pass, stats },
      };
    } finally {
      await sink.close();
    }
  } finally {
    for (const source of Object.values(sources)) await source.close();
    for (const file of [result, `${result}.part`]) rmSync(file, { force: true });
  }
}
