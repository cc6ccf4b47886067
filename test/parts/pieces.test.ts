// Tensors in several buffers, and what can't be run in parts.

import test from 'ava';
import { compile } from '../../compiler/compile.js';
import type { Program } from '../../compiler/ir/program.js';
import { encode, isAttncError, prepare, type TensorBinding, type TensorPieces } from '../../runtime/index.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { makeTensors } from '../gpu/tensors.js';
import { bufferOf, readBack } from '../runtime/lend.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ features: 'offered', limits: 'offered' });
});
test.after.always(() => opened?.close());

const DIM = 16;
const HEADS = 2;
const ROWS = 300;

const PATTERNS: Readonly<Record<string, string>> = {
  window: 'i -> j when abs(i - j) <= 20',
  causal: 'i -> j when j <= i',
  far: 'i -> j when j < 9 or i - j == 250',
};

function program(text: string, windows: boolean): Program {
  const made = compile(`pattern p() { ${text} }`, { dim: DIM, windows }).program;
  if (!made) throw new Error(text);
  return made;
}

/** Rows that pieces begin with, and the end. */
const CUTS = {
  q: [0, 77, 300],
  k: [0, 100, 130, 300],
  v: [0, 131, 300],
  out: [0, 150, 151, 300],
  lse: [0, 300],
};

type Name = keyof typeof CUTS;

/** The pieces of a dense [1, heads, rows, width] array; zeros without data. */
function piecesOf(name: Name, width: number, data?: Float32Array): TensorPieces {
  const cuts = CUTS[name];
  const pieces = cuts.slice(1).map((end, n): TensorBinding => {
    const rows = end - cuts[n];
    const own = new Float32Array(HEADS * rows * width);
    for (let h = 0; data && h < HEADS; h++) {
      const from = (h * ROWS + cuts[n]) * width;
      own.set(data.subarray(from, from + rows * width), h * rows * width);
    }
    const shape = name === 'lse' ? [1, HEADS, rows] : [1, HEADS, rows, width];
    return { buffer: bufferOf(opened.device, own), shape };
  });
  return { pieces };
}

async function joined(name: Name, width: number, { pieces }: TensorPieces): Promise<Float32Array> {
  const all = new Float32Array(HEADS * ROWS * width);
  const cuts = CUTS[name];
  for (const [n, piece] of pieces.entries()) {
    const rows = cuts[n + 1] - cuts[n];
    const own = await readBack(opened.device, piece.buffer);
    for (let h = 0; h < HEADS; h++) {
      const part = own.subarray(h * rows * width, (h + 1) * rows * width);
      all.set(part, (h * ROWS + cuts[n]) * width);
    }
  }
  return all;
}

for (const [name, text] of Object.entries(PATTERNS)) {
  test.serial(`${name}: every tensor in buffers of its own cut`, async (t) => {
    const { q, k, v } = makeTensors(
      { batch: 1, heads: HEADS, queries: ROWS, keys: ROWS },
      DIM,
      DIM,
      'plain',
      3,
    );
    const made = program(text, true);
    const prepared = await prepare(opened.device, made);
    const bindings = {
      q: piecesOf('q', DIM, q.data),
      k: piecesOf('k', DIM, k.data),
      v: piecesOf('v', DIM, v.data),
      out: piecesOf('out', DIM),
      lse: piecesOf('lse', 1),
    };
    const encoder = opened.device.createCommandEncoder();
    const { stats, release } = encode(encoder, prepared, bindings);
    opened.device.queue.submit([encoder.finish()]);
    release();
    const got = { out: await joined('out', DIM, bindings.out), lse: await joined('lse', 1, bindings.lse) };
    const report = compare(got, reference(made.pattern, { q, k, v }));
    t.true(report.pass, JSON.stringify(report));
    // Queries are cut at 77, 150 and 151.
    t.true(stats.steps >= 4, `${stats.steps} steps`);
  });
}

test.serial('pieces need a program for runs in parts, and must be alike', async (t) => {
  const plain = await prepare(opened.device, program(PATTERNS.window, false));
  const windows = await prepare(opened.device, program(PATTERNS.window, true));
  const bindings = {
    q: piecesOf('q', DIM),
    k: piecesOf('k', DIM),
    v: piecesOf('v', DIM),
    out: piecesOf('out', DIM),
  };
  const encoder = opened.device.createCommandEncoder();
  const fails = (work: () => unknown, kind: 'usage' | 'wrong-shape', says: RegExp): void => {
    const error = t.throws(work);
    t.true(isAttncError(error, kind), String(error));
    t.regex(error?.message ?? '', says);
  };
  fails(() => encode(encoder, plain, bindings), 'usage', /compile with \{ windows: true \}/);
  fails(() => encode(encoder, windows, { ...bindings, v: { pieces: [] } }), 'usage', /'v' has no pieces/);
  const [first] = bindings.v.pieces;
  const wider = { ...first, shape: [1, HEADS, 100, 24] };
  fails(() => encode(encoder, windows, { ...bindings, v: { pieces: [first, wider] } }), 'wrong-shape', /'v'/);
  const half = { ...first, dtype: 'f16' as const };
  fails(
    () => encode(encoder, windows, { ...bindings, v: { pieces: [first, half] } }),
    'usage',
    /different types/,
  );
});
