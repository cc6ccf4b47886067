// encode(): buffers of the app's own, in any layout, into its own encoders and passes.

import test from 'ava';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { encode, prepare, type Bindings, type Program, type TensorBinding } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import type { TensorOf } from '../../runtime/tensor.js';
import { countingDevice, type CountingDevice } from './counting-device.js';
import { qkv, type Qkv } from './data.js';
import { documentProgram, handProgram, windowProgram } from './hand-program.js';

const STORAGE = 0x80;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const MAP_READ = 0x1;

let opened: OpenedDevice;
let counting: CountingDevice;
test.before(async () => {
  opened = await openDevice();
  counting = countingDevice(opened.device);
});
test.after.always(() => opened?.close());

function bufferOf(data: Float32Array | Int32Array | number): GPUBuffer {
  const size = typeof data === 'number' ? 4 * data : data.byteLength;
  const buffer = opened.device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
  if (typeof data !== 'number') opened.device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
  return buffer;
}

async function readBack(buffer: GPUBuffer): Promise<Float32Array> {
  const readback = opened.device.createBuffer({ size: buffer.size, usage: MAP_READ | COPY_DST });
  const encoder = opened.device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, readback, 0, buffer.size);
  opened.device.queue.submit([encoder.finish()]);
  await readback.mapAsync(1);
  const data = new Float32Array(readback.getMappedRange().slice(0));
  readback.destroy();
  return data;
}

type Strides = { readonly batch: number; readonly head: number; readonly row: number };

/** Copies between a dense [batch, head, row, dim] array and any other layout. */
function relayout(
  shape: readonly number[],
  strides: Strides,
  offset: number,
  visit: (dense: number, strided: number) => void,
): void {
  const [batch, heads, rows, dim = 1] = shape;
  for (let b = 0, n = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let r = 0; r < rows; r++) {
        for (let d = 0; d < dim; d++)
          visit(n++, offset + b * strides.batch + h * strides.head + r * strides.row + d);
      }
    }
  }
}

interface Layout {
  /** Elements (floats) from the start of the buffer, for each tensor. */
  readonly offsets: Readonly<Record<'q' | 'k' | 'v' | 'out' | 'lse', number>>;
  readonly strides: (name: 'q' | 'k' | 'v' | 'out' | 'lse', shape: readonly number[]) => Strides;
  /** q, k and v share one buffer. */
  readonly packed: boolean;
}

const dense = (shape: readonly number[]): Strides => {
  const [, heads, rows, dim = 1] = shape;
  return { batch: heads * rows * dim, head: rows * dim, row: dim };
};
const rowFirst = (shape: readonly number[]): Strides => {
  const [, heads, rows, dim = 1] = shape;
  return { batch: heads * rows * dim, head: dim, row: heads * dim };
};
const none = { q: 0, k: 0, v: 0, out: 0, lse: 0 };

const LAYOUTS: Readonly<Record<string, Layout>> = {
  'batch, head, row': { offsets: none, strides: (_, shape) => dense(shape), packed: false },
  'batch, row, head': { offsets: none, strides: (_, shape) => rowFirst(shape), packed: false },
  'offsets that no device aligns to': {
    offsets: { q: 4, k: 68, v: 1000, out: 12, lse: 7 },
    strides: (_, shape) => dense(shape),
    packed: false,
  },
  'q, k and v packed in each row': {
    offsets: { q: 0, k: 2 * 16, v: 4 * 16, out: 0, lse: 0 },
    // [batch, row, 3, head, dim]
    strides: (name, shape) =>
      name === 'out' || name === 'lse'
        ? rowFirst(shape)
        : { batch: shape[2] * 3 * 2 * 16, head: 16, row: 3 * 2 * 16 },
    packed: true,
  },
  'rows far apart': {
    offsets: none,
    strides: (name, shape) => {
      const row = name === 'lse' ? 3 : 36;
      return { row, head: row * shape[2] + 8, batch: (row * shape[2] + 8) * shape[1] + 64 };
    },
    packed: false,
  },
};

async function encoded(
  program: Program,
  tensors: Qkv,
  layout: Layout,
  settings: Partial<Bindings> = {},
  into: 'encoder' | 'pass' = 'encoder',
): Promise<{ out: Float32Array; lse: Float32Array }> {
  const { q, v } = tensors;
  const outShape = [q.shape[0], q.shape[1], q.shape[2], v.shape[3]];
  const shapes = { q: q.shape, k: tensors.k.shape, v: v.shape, out: outShape, lse: outShape.slice(0, 3) };
  const room = 1 << 14;
  const shared = layout.packed ? bufferOf(room) : undefined;
  const lend = (name: 'q' | 'k' | 'v' | 'out' | 'lse', t?: TensorOf<'f32'>): TensorBinding => {
    const strides = layout.strides(name, shapes[name]);
    const contents = new Float32Array(room).fill(name === 'out' || name === 'lse' ? 0 : NaN);
    const buffer = shared && t ? shared : bufferOf(room);
    if (t && shared) {
      // Rows of the three tensors interleave: write them one by one.
      relayout(t.shape, strides, layout.offsets[name], (from, to) => {
        if (from % 16 === 0) {
          opened.device.queue.writeBuffer(
            buffer,
            4 * to,
            t.data.slice(from, from + 16) as Float32Array<ArrayBuffer>,
          );
        }
      });
    } else if (t) {
      relayout(t.shape, strides, layout.offsets[name], (from, to) => (contents[to] = t.data[from]));
      opened.device.queue.writeBuffer(buffer, 0, contents);
    }
    return { buffer, shape: shapes[name], strides, offset: 4 * layout.offsets[name] };
  };
  const bindings: Bindings = {
    q: lend('q', q),
    k: lend('k', tensors.k),
    v: lend('v', v),
    out: lend('out'),
    lse: lend('lse'),
    ...settings,
  };
  const prepared = await prepare(counting.device, program);
  const encoder = opened.device.createCommandEncoder();
  opened.device.pushErrorScope('validation');
  let release: () => void;
  if (into === 'encoder') {
    release = encode(encoder, prepared, bindings).release;
  } else {
    const pass = encoder.beginComputePass();
    release = encode(pass, prepared, bindings).release;
    pass.end();
  }
  opened.device.queue.submit([encoder.finish()]);
  release();
  const error = await opened.device.popErrorScope();
  if (error) throw new Error(error.message);
  const [outAll, lseAll] = [
    await readBack(bindings.out.buffer),
    bindings.lse && (await readBack(bindings.lse.buffer)),
  ];
  const out = new Float32Array(outShape.reduce((a, b) => a * b, 1));
  const lse = new Float32Array(out.length / outShape[3]);
  relayout(
    outShape,
    layout.strides('out', outShape),
    layout.offsets.out,
    (to, from) => (out[to] = outAll[from]),
  );
  if (lseAll)
    relayout(
      shapes.lse,
      layout.strides('lse', shapes.lse),
      layout.offsets.lse,
      (to, from) => (lse[to] = lseAll[from]),
    );
  return { out, lse };
}

for (const [name, layout] of Object.entries(LAYOUTS)) {
  test.serial(`lent buffers in place: ${name}`, async (t) => {
    const tensors = qkv({ batch: 2, heads: 2, queries: 20 });
    const program = windowProgram();
    const before = counting.live().length;
    const result = await encoded(program, tensors, layout);
    const comparison = compare(result, reference(program.pattern, tensors));
    t.true(comparison.pass, JSON.stringify(comparison));
    t.is(counting.live().length, before);
  });
}

test.serial("into an app's own compute pass", async (t) => {
  const tensors = qkv({ queries: 30 });
  const program = handProgram();
  const result = await encoded(program, tensors, LAYOUTS['batch, head, row'], {}, 'pass');
  t.true(compare(result, reference(program.pattern, tensors)).pass);
});

test.serial('without lse, which then is temporary', async (t) => {
  const tensors = qkv({ queries: 30 });
  const program = handProgram();
  const { out } = await encoded(program, tensors, LAYOUTS['batch, head, row'], { lse: undefined });
  t.true(compare({ out }, reference(program.pattern, tensors)).pass);
  t.deepEqual(counting.live(), []);
});

test.serial('a table that lies in a buffer', async (t) => {
  const tensors = qkv({ queries: 30 });
  const program = documentProgram({ plan: 'kernel' });
  const doc = Int32Array.from({ length: 30 }, (_, n) => n % 4);
  const padded = new Int32Array(33);
  padded.set(doc, 3);
  const inputs = { doc: { buffer: bufferOf(padded), offset: 12 } };
  const result = await encoded(program, tensors, LAYOUTS['batch, head, row'], { inputs });
  t.true(compare(result, reference(program.pattern, { ...tensors, inputs: { doc } })).pass);
});

test.serial('two programs in one encoder, and one twice with other parameters', async (t) => {
  const tensors = qkv({ queries: 40 });
  const [q, k, v] = [tensors.q, tensors.k, tensors.v].map((x) => ({
    buffer: bufferOf(x.data),
    shape: x.shape,
  }));
  const programs = [handProgram(), windowProgram(), windowProgram()];
  const parameters: Record<string, number>[] = [{}, { window: 2 }, { window: 20 }];
  const outs = programs.map(() => ({ buffer: bufferOf(40 * 16), shape: tensors.q.shape }));
  const encoder = opened.device.createCommandEncoder();
  const recorded = [];
  for (let n = 0; n < 3; n++) {
    const prepared = await prepare(counting.device, programs[n]);
    recorded.push(encode(encoder, prepared, { q, k, v, out: outs[n], parameters: parameters[n] }));
  }
  t.true(counting.live().every((label) => label.startsWith('attnc ')));
  t.is(
    counting.live().length,
    recorded.reduce((sum, r) => sum + r.stats.temporaryBuffers, 0),
  );
  opened.device.queue.submit([encoder.finish()]);
  for (const r of recorded) r.release();
  t.deepEqual(counting.live(), []);
  for (let n = 0; n < 3; n++) {
    const expected = reference(programs[n].pattern, { ...tensors, parameters: parameters[n] });
    t.true(compare({ out: await readBack(outs[n].buffer) }, expected).pass, String(n));
  }
});
