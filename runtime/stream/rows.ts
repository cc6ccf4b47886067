import type { StorageType } from '../../compiler/ir/program.js';
import { AttncError, valueOutOfRange, wrongShape, wrongType } from '../errors.js';
import type { RowSum } from './row-sum.js';
import { bytesPerElement, elementCount } from '../tensor.js';

/**
 * Where rows come from and where results go when tensors are larger than memory: files, a generator, checksums. The
 * pipeline between them knows nothing of either.
 */

/** Rows of q, k or v of shape [batch, heads, rows, dim], wherever they lie. */
export interface RowSource {
  readonly dtype: StorageType;
  readonly shape: readonly [batch: number, heads: number, rows: number, dim: number];
  /** What tells these rows from others: a run is resumed only with the same. */
  readonly identity: SourceIdentity;
  /**
   * Rows lo … hi − 1 of one head, dense, into `into` (exactly (hi − lo)·dim elements, little-endian). Several reads may
   * be under way. Fails where what is read is no longer what was opened.
   */
  read(batch: number, head: number, lo: number, hi: number, into: Uint8Array): Promise<void>;
  /**
   * Or the device makes them itself: submits work that writes them at byte `offset` (a multiple of 4) of `buffer` (with
   * storage usage). Same bits as `read`. It has submitted when it returns, so what is submitted then comes after it; the
   * promise tells how it went.
   */
  readonly fill?: (
    device: GPUDevice,
    buffer: GPUBuffer,
    offset: number,
    batch: number,
    head: number,
    lo: number,
    hi: number,
  ) => Promise<void>;
  /** Fails if what was opened has changed since: for the end of a run. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** As plain data, compared when a run is resumed. */
export type SourceIdentity =
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly tensor: string | undefined;
      /** Of the file, in bytes. */
      readonly size: number;
      /** Nanoseconds since 1970. */
      readonly modified: string;
    }
  | { readonly kind: 'random'; readonly seed: number; readonly tensor: string }
  | { readonly kind: 'memory'; readonly sum: string };

/** A row of a result. */
export interface RowPlace {
  readonly batch: number;
  readonly head: number;
  readonly row: number;
}

/** A row of a result that is kept: `out` as the bytes of its elements. */
export interface KeptRow extends RowPlace {
  readonly out: Uint8Array;
  readonly lse: number;
}

/** What is known of a band when it is done. */
export interface BandResult {
  /** The band's sum (row-sum.ts), 16 hexadecimal digits. */
  readonly sum: string;
  /** The part of it that lse has, from sinks that don't keep lse: without it the rest could not be checked again. */
  readonly lseSum?: string | undefined;
  /** Of the rows that the sink was asked to keep, those of the band. */
  readonly kept: readonly KeptRow[];
}

/** Takes results band by band, in order of (batch, head, row). */
export interface RowSink {
  /**
   * `out`: (hi − lo)·valueDim elements, `lse`: hi − lo numbers; neither is needed any more when it resolves. `sum`: the
   * band's, where it is known already (device-sum.ts), else it is computed.
   */
  write(
    batch: number,
    head: number,
    lo: number,
    hi: number,
    out: Uint8Array,
    lse: Float32Array,
    sum?: RowSum,
  ): Promise<BandResult>;
  /**
   * Or it takes them on the device, so that they need not be downloaded: reads rows at byte offsets (multiples of 4) of
   * buffers with storage and copySrc usage. What it has to do is submitted before this returns, so the buffers may be
   * written by what is submitted later. Resolves when the band is done.
   */
  readonly absorb?: (
    device: GPUDevice,
    batch: number,
    head: number,
    lo: number,
    hi: number,
    out: BufferPart,
    lse: BufferPart,
  ) => Promise<BandResult>;
  /** When it resolves, what was written before survives a crash. */
  sync(): Promise<void>;
  /** After the last band: the result is complete. */
  finish(): Promise<SinkSummary>;
  /** Without `finish` keeps what is there, for a resume. */
  close(): Promise<void>;
}

export interface BufferPart {
  readonly buffer: GPUBuffer;
  /** Bytes. */
  readonly offset: number;
}

export interface SinkSummary {
  /** Of all rows of out and lse, 16 hexadecimal digits: the same however the rows were divided into bands. */
  readonly sum: string;
  /** Over all batches and heads. */
  readonly rows: number;
  readonly kept: readonly KeptRow[];
  /** The file that was written, and its size. */
  readonly file: { readonly path: string; readonly bytes: number } | undefined;
}

export const rowBytesOf = (source: Pick<RowSource, 'dtype' | 'shape'>): number =>
  bytesPerElement[source.dtype] * source.shape[3];

/** Types and shapes that rows can have: four axes, f32, f16 or bf16. */
export function checkRows(
  name: string,
  dtype: string,
  shape: readonly number[],
): { readonly dtype: StorageType; readonly shape: RowSource['shape'] } {
  if (dtype !== 'f32' && dtype !== 'f16' && dtype !== 'bf16')
    throw wrongType(name, ['f32', 'f16', 'bf16'], dtype);
  const [batch, heads, rows, dim] = shape;
  if (shape.length !== 4 || elementCount(shape) === undefined)
    throw wrongShape(name, ['batch', 'heads', 'rows', 'head size'], shape);
  return { dtype, shape: [batch, heads, rows, dim] };
}

/** Do rows lo … hi − 1 of a head exist, and do `bytes` hold them? */
export function checkRange(
  shape: RowSource['shape'],
  batch: number,
  head: number,
  lo: number,
  hi: number,
  bytes?: { readonly given: number; readonly row: number },
): void {
  const inside = (what: string, x: number, least: number, most: number): void => {
    if (!Number.isInteger(x) || x < least || x > most) throw valueOutOfRange(what, x, least, most);
  };
  inside('the batch of a row', batch, 0, shape[0] - 1);
  inside('the head of a row', head, 0, shape[1] - 1);
  inside('the first row', lo, 0, shape[2]);
  inside('the end of the rows', hi, lo, shape[2]);
  if (bytes && bytes.given !== (hi - lo) * bytes.row) {
    throw new AttncError(
      'wrong-shape',
      `rows ${lo} to ${hi} take ${(hi - lo) * bytes.row} bytes, not ${bytes.given}`,
    );
  }
}
