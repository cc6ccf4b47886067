/** What each rank does in a test: `node ranks.js NAME …`, under mpirun. Runs samples by name, one after the other. */
import { strict as assert } from 'node:assert';
import { compilePattern } from '../../compiler/compile.js';
import { pickForRanks, planDistributed, runDistributed } from '../../runtime/distributed/index.js';
import { openDevice } from '../../runtime/node/index.js';
import { deviceForRank, runRanks, type Communicator } from '../../runtime/node/mpi/index.js';
import { choose } from '../../runtime/prepare.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { tensorRows } from '../../runtime/stream/tensor-rows.js';
import { tensorSink } from '../../runtime/stream/tensor-sink.js';
import { tensor, zeros } from '../../runtime/tensor.js';
import { bindProblem, lowerSample, settingsFor, type ProblemShape } from '../differential/problems.js';
import { makeTensors } from '../gpu/tensors.js';
import { SAMPLES, type SampleCase } from '../shapes.js';
import { bytesByDefinition } from './definition.js';

const DIM = 16;

/** Prime, so that no shard is like another. */
const LENGTH = 307;

async function runSample(
  comm: Communicator,
  device: GPUDevice,
  sample: SampleCase,
  number: number,
): Promise<string> {
  const [setting] = sample.settings;
  const pattern = lowerSample(sample, setting.set);
  const program = compilePattern(pattern, { dim: DIM, valueDim: DIM, windows: true });
  const heads = sample.heads < 4 ? 4 : sample.heads;
  const uneven = number % 2 === 0;
  const shape: ProblemShape = {
    batch: uneven ? 2 : 1,
    heads,
    keyHeads: number % 3 === 0 ? 2 : heads,
    queries: LENGTH,
    keys: LENGTH,
    ...(uneven && { lengths: { queries: [LENGTH, 101], keys: [LENGTH, 101] } }),
  };
  const made = makeTensors(shape, DIM, DIM, 'plain', 5);
  const settings = settingsFor(sample, pattern, setting.set, shape, 2);
  const sources = { q: tensorRows(made.q, 'q'), k: tensorRows(made.k, 'k'), v: tensorRows(made.v, 'v') };
  const lines = shape.batch * heads;
  const out = zeros('f32', [shape.batch, heads, LENGTH, DIM]);
  const lse = tensor('f32', [shape.batch, heads, LENGTH], new Float32Array(lines * LENGTH));
  // Messages of a few rows, so that there are many.
  const options = number % 2 === 0 ? { hostBytes: 20_000, gap: 16 } : {};
  const plan = planDistributed(program, comm.size, sources, settings, device.limits, options);
  const prepared = choose(device, program);
  const picked = pickForRanks(prepared, plan, options);
  const sink = tensorSink(out, lse);
  const { stats, bands } = await runDistributed(comm, prepared, plan, picked, sources, sink, options);

  const [lo, hi] = [plan.traffic.queryCuts[comm.rank], plan.traffic.queryCuts[comm.rank + 1]];
  assert.equal(
    bands.reduce((n, b) => n + b.hi - b.lo, 0),
    lines * (hi - lo),
  );
  const whole = reference(pattern, { ...made, ...settings });
  // Of whole tensors, the rows of this rank.
  const own = <T extends { subarray(from: number, to: number): T; set(from: T, at: number): void }>(
    data: T,
    size: number,
    made: T,
  ): T => {
    for (let n = 0; n < lines; n++)
      made.set(data.subarray((n * LENGTH + lo) * size, (n * LENGTH + hi) * size), n * (hi - lo) * size);
    return made;
  };
  const rows = lines * (hi - lo);
  const ownRows = (data: Float64Array): Float64Array => own(data, 1, new Float64Array(rows));
  const expected = {
    ...whole,
    out: own(whole.out, DIM, new Float64Array(rows * DIM)),
    lse: ownRows(whole.lse),
    maxScore: ownRows(whole.maxScore),
    edges: ownRows(whole.edges),
    tainted: new Uint8Array(rows),
  };
  const got = {
    out: own(out.data, DIM, new Float32Array(rows * DIM)),
    lse: own(lse.data, 1, new Float32Array(rows)),
  };
  const report = compare(got, expected);
  assert.ok(report.pass, `${sample.pattern}: ${JSON.stringify(report)}`);

  const bytes = bytesByDefinition(pattern, bindProblem(pattern, shape, settings, DIM), comm.size, 8 * DIM);
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
  assert.equal(stats.sentBytes, sum(bytes[comm.rank]), sample.pattern);
  assert.equal(stats.receivedBytes, sum(bytes.map((from) => from[comm.rank])), sample.pattern);
  return `${sample.pattern} ${stats.receivedBytes}`;
}

/** Its device is gone as soon as it waits for another rank. */
const losing = (comm: Communicator, device: GPUDevice): Communicator => ({
  ...comm,
  receive: (from, tag, into) => {
    device.destroy();
    return comm.receive(from, tag, into);
  },
});

async function main(names: readonly string[]): Promise<number> {
  return runRanks(
    async (comm) => {
      const { device } = await deviceForRank(comm);
      const opened = await openDevice({ device, limits: 'offered' });
      const done: string[] = [];
      const [first] = names;
      if (first === 'lost') {
        const ranks = comm.rank === 1 ? losing(comm, opened.device) : comm;
        await runSample(ranks, opened.device, SAMPLES[0], 0);
        return 0;
      }
      for (const name of names) {
        const number = SAMPLES.findIndex((s) => s.pattern === name);
        assert.ok(number >= 0, name);
        done.push(await runSample(comm, opened.device, SAMPLES[number], number));
      }
      opened.close();
      process.stdout.write(`ok ${comm.rank}: ${done.join(', ')}\n`);
      return 0;
    },
    {
      print: ({ code, message }) => void process.stderr.write(`error[${code}]: ${message}\n`),
      statusOf: () => 5,
    },
  );
}

process.exitCode = await main(process.argv.slice(2));
