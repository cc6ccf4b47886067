// Runs in the browser: a compiled program on a device that the page makes, through `run` and through `encode`.

import type { Program, TensorBinding } from '../../../runtime/index.js';

// The tests' own types are Node's, which has no navigator.
declare const navigator: { readonly gpu: GPU };

/** Arguments travel as JSON-like data. */
export interface RunTask {
  /** What `packProgram` wrote. */
  readonly program: string;
  readonly shape: Shape;
  /** Dense [batch, head, row]; as many key heads as heads, as many keys as queries. */
  readonly q: readonly number[];
  readonly k: readonly number[];
  readonly v: readonly number[];
  readonly inputs: Readonly<Record<string, readonly number[]>>;
}

interface Shape {
  readonly batch: number;
  readonly heads: number;
  readonly rows: number;
  readonly dim: number;
}

export interface RunOutcome {
  readonly name: string;
  readonly run: Result;
  /** From q, k and v packed in one buffer of the page's own, into another. */
  readonly encoded: Result;
  /** What the page's globals have gained or lost. */
  readonly globals: readonly string[];
  /** The page's buffers are alive after `release`. */
  readonly buffersAlive: boolean;
}

export interface Result {
  readonly out: readonly number[];
  /** JSON has no infinity, but what Playwright carries does. */
  readonly lse: readonly number[];
}

export async function runProgram(task: RunTask): Promise<RunOutcome> {
  const before = new Set(Reflect.ownKeys(globalThis));
  const { unpackProgram, run, tensor } = await import('../../../runtime/index.js');
  const adapter = await navigator.gpu.requestAdapter();
  if (adapter === null) throw new Error('the browser gave no WebGPU adapter');
  const device = await adapter.requestDevice();
  const program = unpackProgram(task.program);

  const { batch, heads, rows, dim } = task.shape;
  const dense = (values: readonly number[]) =>
    tensor('f32', [batch, heads, rows, dim], Float32Array.from(values));
  const tensors = { q: dense(task.q), k: dense(task.k), v: dense(task.v), inputs: task.inputs };
  const { out, lse } = await run(device, program, tensors);
  const encoded = await encodePacked(device, program, task);

  const after = new Set(Reflect.ownKeys(globalThis));
  const globals = [...before, ...after].filter((key) => before.has(key) !== after.has(key)).map(String);
  const outcome = {
    name: program.name,
    run: { out: [...out.data], lse: [...lse.data] },
    encoded: encoded.result,
    globals,
    buffersAlive: encoded.buffersAlive,
  };
  device.destroy();
  return outcome;
}

/** As a model has them: [batch, row, (q, k, v), head, dim] in one buffer; out is [batch, row, head, dim]. */
async function encodePacked(
  device: GPUDevice,
  program: Program,
  task: RunTask,
): Promise<{ readonly result: Result; readonly buffersAlive: boolean }> {
  const { prepare, encode } = await import('../../../runtime/index.js');
  const { batch, heads, rows, dim } = task.shape;
  const width = heads * dim;
  const packed = new Float32Array(batch * rows * 3 * width);
  forEachElement(task.shape, (n, b, h, r, d) => {
    const at = (b * rows + r) * 3 * width + h * dim + d;
    packed[at] = task.q[n];
    packed[at + width] = task.k[n];
    packed[at + 2 * width] = task.v[n];
  });
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  const qkv = device.createBuffer({ size: packed.byteLength, usage });
  device.queue.writeBuffer(qkv, 0, packed);
  const outBuffer = device.createBuffer({ size: 4 * batch * rows * width, usage });
  const lseBuffer = device.createBuffer({ size: 4 * batch * heads * rows, usage });

  const part = (n: number): TensorBinding => ({
    buffer: qkv,
    offset: 4 * n * width,
    shape: [batch, heads, rows, dim],
    strides: { batch: rows * 3 * width, head: dim, row: 3 * width },
  });
  const prepared = await prepare(device, program);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  const encoded = encode(pass, prepared, {
    q: part(0),
    k: part(1),
    v: part(2),
    out: {
      buffer: outBuffer,
      shape: [batch, heads, rows, dim],
      strides: { batch: rows * width, head: dim, row: width },
    },
    lse: { buffer: lseBuffer, shape: [batch, heads, rows] },
    inputs: task.inputs,
  });
  pass.end();
  device.queue.submit([encoder.finish()]);
  encoded.release();

  const strided = await read(device, outBuffer);
  const out = new Array<number>(strided.length);
  forEachElement(task.shape, (n, b, h, r, d) => {
    out[n] = strided[(b * rows + r) * width + h * dim + d];
  });
  const result = { out, lse: [...(await read(device, lseBuffer))] };
  // A destroyed buffer could not be copied from.
  const again = await read(device, qkv);
  return { result, buffersAlive: again.every((x, n) => x === packed[n]) };
}

function forEachElement(
  { batch, heads, rows, dim }: Shape,
  visit: (n: number, b: number, h: number, r: number, d: number) => void,
): void {
  let n = 0;
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let r = 0; r < rows; r++) for (let d = 0; d < dim; d++) visit(n++, b, h, r, d);
}

async function read(device: GPUDevice, from: GPUBuffer): Promise<Float32Array> {
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const buffer = device.createBuffer({ size: from.size, usage });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(from, 0, buffer, 0, from.size);
  device.queue.submit([encoder.finish()]);
  await buffer.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(buffer.getMappedRange().slice(0));
  buffer.destroy();
  return values;
}
