/**
 * `node onnx-side.js FOLDER ROW…`: dense attention through onnxruntime-node's WebGPU provider. What a session costs
 * besides (copies to and from the device, the queue) is taken away: a chain of attentions is timed against one alone.
 */
import { readJobs, writeOut, type Job } from './jobs.js';
import { oneLine, tell } from './messages.js';
import { attentionModel } from './onnx/model.js';
import { loadOnnx, type OnnxRuntime, type OnnxSession } from './onnx/runtime.js';
import { packageRoot } from './package-root.js';
import { rowIndices, tensorsOf } from './subject.js';
import { f16ToFloat32 } from '../runtime/half.js';
import { spreadOf } from '../runtime/timing/index.js';

/** Attentions in the chain that is timed against a single one. */
const LAYERS = 17;
/** Times that both are run. */
const RUNS = 9;

const [folder, ...ids] = process.argv.slice(2);
const { jobs, warmUp } = readJobs(folder);
try {
  const { runtime, version } = loadOnnx(packageRoot());
  tell({ kind: 'facts', facts: { onnxruntime: version } });
  for (const id of ids) {
    tell({ kind: 'start', task: id });
    try {
      const job = jobs.find((j) => j.row.id === id);
      if (!job) throw new Error('no such row');
      tell({ kind: 'result', task: id, result: await runRow(runtime, job) });
    } catch (error) {
      tell({ kind: 'failed', task: id, why: oneLine(error) });
    }
  }
} catch (error) {
  for (const id of ids) tell({ kind: 'failed', task: id, why: oneLine(error) });
}

async function runRow(runtime: OnnxRuntime, job: Job): Promise<unknown> {
  const { row } = job;
  const { heads, keyHeads, queries, keys, dim, valueDim } = row.shape;
  if (heads !== keyHeads || queries !== keys || dim !== valueDim)
    throw new Error('not a shape of the operator');
  const given = tensorsOf(job, row.dtype, undefined);
  const shape = [1, queries, heads * dim];
  const feeds = Object.fromEntries(
    (['q', 'k', 'v'] as const).map((name) => {
      const { data } = given[name];
      const mixed = besideEachOther(data as Float32Array | Uint16Array, heads, queries, dim);
      return [name, new runtime.Tensor(row.dtype === 'f32' ? 'float32' : 'float16', mixed, shape)];
    }),
  );
  const open = (layers: number): Promise<OnnxSession> =>
    runtime.InferenceSession.create(
      attentionModel({ heads, length: queries, dim, dtype: row.dtype, layers }),
      { executionProviders: ['webgpu'], logSeverityLevel: 3 },
    );
  const one = await open(1);
  const { out } = await one.run(feeds);
  const file = writeOut(folder, `${row.id}.onnx`, sampled(numbersOf(out.data), job));

  const chain = await open(LAYERS);
  const timeOf = async (session: OnnxSession): Promise<number> => {
    const start = performance.now();
    await session.run(feeds);
    return performance.now() - start;
  };
  for (const begun = performance.now(); performance.now() - begun < warmUp;) await timeOf(chain);
  const times: number[] = [];
  for (let n = 0; n < RUNS; n++) times.push(((await timeOf(chain)) - (await timeOf(one))) / (LAYERS - 1));
  await one.release();
  await chain.release();
  const { median, p10, p90 } = spreadOf(times);
  return {
    milliseconds: { median, p10, p90 },
    runs: RUNS,
    how: `chains of ${LAYERS} less chains of 1`,
    file,
  };
}

/** [heads, tokens, dim] to [tokens, heads, dim]. */
function besideEachOther<A extends Float32Array | Uint16Array>(
  data: A,
  heads: number,
  tokens: number,
  dim: number,
): A {
  const out = data.slice() as A;
  for (let h = 0; h < heads; h++) {
    for (let n = 0; n < tokens; n++) {
      const from = (h * tokens + n) * dim;
      out.set(data.subarray(from, from + dim), (n * heads + h) * dim);
    }
  }
  return out;
}

function numbersOf(data: ArrayLike<number> & { readonly buffer: ArrayBufferLike }): ArrayLike<number> {
  return data instanceof Uint16Array ? f16ToFloat32(data) : data;
}

/** The sampled rows of [tokens, heads, dim], heads first. */
function sampled(data: ArrayLike<number>, job: Job): Float32Array {
  const { heads, dim } = job.row.shape;
  const rows = rowIndices(job);
  const out = new Float32Array(rows.length * dim);
  rows.forEach(({ head, row }, n) => {
    for (let d = 0; d < dim; d++) out[n * dim + d] = data[(row * heads + head) * dim + d];
  });
  return out;
}
