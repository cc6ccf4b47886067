import type { Arena } from '../../runtime/arena.js';
import type { TensorBinding, TensorPieces } from '../../runtime/bindings.js';
import { isAttncError } from '../../runtime/errors.js';
import { MAP_MODE_READ, USAGE } from '../../runtime/gpu-flags.js';
import type { RowIndex } from '../../runtime/reference/index.js';
import { scoped } from '../../runtime/scopes.js';
import type { RowSource } from '../../runtime/stream/rows.js';
import { fromBytes, toFloat32 } from '../../runtime/tensor.js';
import { DIM, DTYPE } from './subjects.js';

/** Tensors of one head on the device, in one buffer or, where the device makes none so large, in several. */

const ROW = 2 * DIM;

/** @param most bytes of a buffer */
export async function makeTensor(
  device: GPUDevice,
  arena: Arena,
  name: string,
  tokens: number,
  most: number,
): Promise<TensorPieces> {
  const rows = Math.max(1, Math.floor(most / ROW));
  const pieces: TensorBinding[] = [];
  for (let at = 0; at < tokens; at += rows) {
    const count = Math.min(rows, tokens - at);
    const { result, problem } = scoped(device, `making ${name}`, () =>
      arena.create(name, count * ROW, USAGE.storage | USAGE.copySrc),
    );
    const error = await problem;
    if (error) throw error;
    pieces.push({ buffer: result, dtype: DTYPE, shape: [1, 1, count, DIM] });
  }
  return { pieces };
}

/** Buffers as large as they come: tried from the whole tensor down, halving what is too much for the driver. */
export async function fittingPiece(device: GPUDevice, bytes: number): Promise<number> {
  for (let most = Math.min(bytes, device.limits.maxBufferSize); ; most /= 2) {
    const size = Math.ceil(most / ROW) * ROW;
    let made: GPUBuffer | undefined;
    const { problem } = scoped(device, 'trying a buffer', () => {
      made = device.createBuffer({ size, usage: USAGE.storage });
    });
    const error = await problem;
    made?.destroy();
    if (!error) {
      await settle(device);
      return size;
    }
    // Drivers say so in several ways.
    if (isAttncError(error, 'device-lost') || most < 2 ** 28) throw error;
  }
}

/** Gives back what was destroyed: Dawn keeps it until something that was submitted later is done. */
export async function settle(device: GPUDevice): Promise<void> {
  const buffer = device.createBuffer({ size: 16, usage: USAGE.copyDst });
  device.queue.writeBuffer(buffer, 0, new Uint32Array(4));
  device.queue.submit([]);
  await device.queue.onSubmittedWorkDone();
  buffer.destroy();
}

export async function fillTensor(
  device: GPUDevice,
  source: RowSource,
  { pieces }: TensorPieces,
): Promise<void> {
  let row = 0;
  for (const { buffer, shape } of pieces) {
    await source.fill?.(device, buffer, 0, 0, 0, row, row + shape[2]);
    row += shape[2];
  }
}

/** Rows, in the order asked for, as numbers. */
export async function readTensor(
  device: GPUDevice,
  arena: Arena,
  { pieces }: TensorPieces,
  rows: readonly RowIndex[],
): Promise<Float32Array> {
  const back = arena.create('rows', rows.length * ROW, USAGE.mapRead | USAGE.copyDst);
  const encoder = device.createCommandEncoder();
  rows.forEach(({ row }, n) => {
    let first = 0;
    for (const { buffer, shape } of pieces) {
      if (row >= first && row < first + shape[2]) {
        encoder.copyBufferToBuffer(buffer, (row - first) * ROW, back, n * ROW, ROW);
      }
      first += shape[2];
    }
  });
  device.queue.submit([encoder.finish()]);
  await back.mapAsync(MAP_MODE_READ);
  const bytes = new Uint8Array(back.getMappedRange().slice(0, rows.length * ROW));
  return toFloat32(fromBytes(DTYPE, [rows.length, DIM], bytes));
}
