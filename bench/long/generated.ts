import { compare, rowReference } from '../../runtime/reference/index.js';
import { checksumSink } from '../../runtime/stream/checksum-sink.js';
import { runStream, type StreamStats } from '../../runtime/stream/pipeline.js';
import { planStream } from '../../runtime/stream/plan.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import { keptResults } from '../../runtime/stream/summary.js';
import { spread } from './resident.js';
import { compileSubject, DIM, DTYPE, SEED, type Subject } from './subjects.js';

/** A sequence that exists nowhere as a whole: made up on the device, band by band, and summed there. */

export interface GeneratedResult {
  readonly tokens: number;
  readonly seconds: number;
  readonly sum: string;
  readonly rows: number;
  readonly error: number;
  readonly pass: boolean;
  readonly stats: StreamStats;
}

export interface GeneratedOptions {
  readonly deviceBytes: number;
  readonly bindingBytes: number | undefined;
  readonly rows: number;
  readonly say: (line: string) => void;
}

export async function runGenerated(
  device: GPUDevice,
  subject: Subject,
  tokens: number,
  options: GeneratedOptions,
): Promise<GeneratedResult> {
  const program = compileSubject(subject);
  const shape = [1, 1, tokens, DIM];
  const of = (name: 'q' | 'k' | 'v') => randomRows(name, DTYPE, shape, SEED);
  const sources = { q: of('q'), k: of('k'), v: of('v') };
  const places = spread(tokens, options.rows);
  const sink = checksumSink(DTYPE, shape, { keep: places });
  let told = performance.now();
  const stream = {
    out: DTYPE,
    deviceBytes: options.deviceBytes,
    // Nothing is downloaded, so it does not bound the bands.
    hostBytes: 2 ** 35,
    bindingBytes: options.bindingBytes,
    onBand: ({ rows, total }: { readonly rows: number; readonly total: number }): void => {
      if (performance.now() - told < 5000) return;
      told = performance.now();
      options.say(`${subject.id}: ${((100 * rows) / total).toFixed(0)} %`);
    },
  } as const;
  try {
    const planned = planStream(program, sources, {}, device.limits, stream);
    const stats = await runStream(device, program, planned, sources, sink, stream);
    const { sum, kept } = await sink.finish();
    options.say(`${subject.id}: ${kept.length} rows by the oracle`);
    const expected = await rowReference(program.pattern, sources, places);
    const report = compare(keptResults(kept, DTYPE), expected, { input: DTYPE, output: DTYPE });
    const seconds = stats.milliseconds / 1000;
    return { tokens, seconds, sum, rows: kept.length, error: report.whole.error, pass: report.pass, stats };
  } finally {
    await sink.close();
  }
}
