// What only buffers of the app's own can get wrong.

import test from 'ava';
import { encode, isAttncError, prepare, type Bindings, type ErrorKind } from '../../runtime/index.js';
import type { TensorBinding } from '../../runtime/index.js';
import { documentProgram, graphProgram, handProgram } from './hand-program.js';
import { counting, opened, usable } from './watched-device.js';

const STORAGE = 0x80;

function lend(shape: readonly number[], bytes = 4096, usage = STORAGE): TensorBinding {
  return { buffer: opened.device.createBuffer({ size: bytes, usage }), shape };
}

const rows = [1, 1, 4, 16];
const fine = (): Bindings => ({
  q: lend(rows),
  k: lend(rows),
  v: lend(rows),
  out: lend(rows),
  lse: lend([1, 1, 4]),
});

const LENT: readonly (readonly [name: string, kind: ErrorKind, says: RegExp, bindings: () => Bindings])[] = [
  [
    'an odd offset',
    'usage',
    /offset of 'q' is 8 bytes; it must be a multiple of 16/,
    () => ({ ...fine(), q: { ...lend(rows), offset: 8 } }),
  ],
  [
    'an odd stride',
    'usage',
    /row stride of 'k' is 18; .*multiples of 4/,
    () => ({ ...fine(), k: { ...lend(rows), strides: { batch: 64, head: 64, row: 18 } } }),
  ],
  [
    'a buffer too small',
    'wrong-shape',
    /'v' .* takes 256 bytes from offset 0, but there are 128/,
    () => ({ ...fine(), v: lend(rows, 128) }),
  ],
  [
    'a size too small',
    'wrong-shape',
    /but there are 64/,
    () => ({ ...fine(), v: { ...lend(rows), size: 64 } }),
  ],
  [
    'an out of another shape',
    'wrong-shape',
    /'out' must have shape \[1, 1, 4, 16\], not \[1, 1, 5, 16\]/,
    () => ({ ...fine(), out: lend([1, 1, 5, 16]) }),
  ],
  [
    'an lse of another shape',
    'wrong-shape',
    /'lse' must have shape \[1, 1, 4\]/,
    () => ({ ...fine(), lse: lend(rows) }),
  ],
  [
    'rows of out that overlap',
    'usage',
    /rows of 'out' overlap/,
    () => ({ ...fine(), out: { ...lend(rows), strides: { batch: 64, head: 64, row: 8 } } }),
  ],
  [
    'a buffer that cannot be bound',
    'usage',
    /buffer of 'q' cannot be bound; make it with GPUBufferUsage.STORAGE/,
    () => ({ ...fine(), q: lend(rows, 4096, 0x8) }),
  ],
  [
    'out in the buffer of q',
    'usage',
    /'out' is in the same buffer as 'q'/,
    () => {
      const q = lend(rows);
      return { ...fine(), q, out: { ...q, offset: 1024 } };
    },
  ],
  [
    'out and lse in one place',
    'usage',
    /'out' and 'lse' overlap/,
    () => {
      const out = lend(rows);
      return { ...fine(), out, lse: { buffer: out.buffer, shape: [1, 1, 4], offset: 128 } };
    },
  ],
];

for (const [name, kind, says, bindings] of LENT) {
  test.serial(`${kind}, lent buffers: ${name}`, async (t) => {
    const prepared = await prepare(counting.device, handProgram());
    const error = t.throws(() => encode(opened.device.createCommandEncoder(), prepared, bindings()));
    t.true(isAttncError(error, kind), String(error?.stack));
    t.regex(error?.message ?? '', says);
    await usable(t);
  });
}

test.serial('tables in buffers, where the host or a pass needs more', async (t) => {
  const buffer = opened.device.createBuffer({ size: 64, usage: 0x4 });
  const onHost = await prepare(counting.device, documentProgram());
  const encoder = opened.device.createCommandEncoder();
  const planned = t.throws(() => encode(encoder, onHost, { ...fine(), inputs: { doc: { buffer } } }));
  t.true(isAttncError(planned, 'wrong-type'));
  t.regex(planned?.message ?? '', /'doc' must be on the host: the tiles to visit are planned with it/);

  const inKernel = await prepare(counting.device, documentProgram({ plan: 'kernel' }));
  const pass = encoder.beginComputePass();
  const copied = t.throws(() => encode(pass, inKernel, { ...fine(), inputs: { doc: { buffer } } }));
  pass.end();
  t.regex(copied?.message ?? '', /pass the command encoder instead/);

  const short = t.throws(() =>
    encode(encoder, inKernel, { ...fine(), inputs: { doc: { buffer, offset: 52 } } }),
  );
  t.true(isAttncError(short, 'wrong-shape'));
  const unreadable = opened.device.createBuffer({ size: 64, usage: STORAGE });
  const usage = t.throws(() =>
    encode(encoder, inKernel, { ...fine(), inputs: { doc: { buffer: unreadable } } }),
  );
  t.regex(usage?.message ?? '', /COPY_SRC/);

  const graphs = await prepare(counting.device, graphProgram());
  const inputs = { 'bonds.row_ptr': { buffer }, 'bonds.col_idx': { buffer } };
  const graphOnDevice = t.throws(() => encode(encoder, graphs, { ...fine(), inputs }));
  t.regex(graphOnDevice?.message ?? '', /planned on the host: pass an array/);
  await usable(t);
});
