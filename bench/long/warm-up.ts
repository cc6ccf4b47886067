import { checksumSink } from '../../runtime/stream/checksum-sink.js';
import { runStream } from '../../runtime/stream/pipeline.js';
import { planStream } from '../../runtime/stream/plan.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import { compileSubject, DIM, DTYPE, SEED, type Subject } from './subjects.js';

const TOKENS = 2 ** 20;

/** Compiles what a streamed run needs and lets clocks rise: what is timed next is the run alone. */
export async function warmUp(
  device: GPUDevice,
  subject: Subject,
  bindingBytes: number | undefined,
): Promise<void> {
  const program = compileSubject(subject);
  const shape = [1, 1, TOKENS, DIM];
  const of = (name: 'q' | 'k' | 'v') => randomRows(name, DTYPE, shape, SEED);
  const sources = { q: of('q'), k: of('k'), v: of('v') };
  const sink = checksumSink(DTYPE, shape);
  const stream = { out: DTYPE, bindingBytes } as const;
  try {
    const planned = planStream(program, sources, {}, device.limits, stream);
    await runStream(device, program, planned, sources, sink, stream);
  } finally {
    await sink.close();
    for (const source of Object.values(sources)) await source.close();
  }
}
