import type { StorageType } from '../compiler/ir/program.js';
import type { Tensor } from './tensor.js';

/** What is bound to a program when it runs: tensors on the device or the host, inputs, parameters, lengths. */

/** A tensor in a buffer, read or written where it lies. */
export interface TensorBinding {
  readonly buffer: GPUBuffer;
  /** f32 if not given. q, k and v have one type, out has its own; lse is always f32. */
  readonly dtype?: StorageType;
  /** Bytes from the buffer's start to element [0, 0, 0, 0]; 0 if not given. A multiple of 4 elements (1 for lse). */
  readonly offset?: number;
  /** Bytes from `offset` that may be touched; to the buffer's end if not given. */
  readonly size?: number;
  /** [batch, heads, rows, dim]; lse has no last axis. */
  readonly shape: readonly number[];
  /** Of k and v in a part of a run: the number, in the run, of the tensor's first row. 0 if not given. */
  readonly row?: number;
  /**
   * Distances in elements; those of a dense [batch, head, row] layout if not given. The last axis is always
   * dense. Multiples of 4 (any number for lse). Packed q-k-v rows and [batch, row, head] layouts are strides only.
   */
  readonly strides?: { readonly batch: number; readonly head: number; readonly row: number };
}

/** A tensor in several buffers: consecutive rows of every batch and head, piece by piece. */
export interface TensorPieces {
  readonly pieces: readonly TensorBinding[];
}

export type LentTensor = TensorBinding | TensorPieces;

/** A table that is on the device already: 4 bytes an element (i32, f32; bool as 0 or 1), row-major, dense. */
export interface TableBinding {
  readonly buffer: GPUBuffer;
  /** Bytes, a multiple of 4. */
  readonly offset?: number;
}

/** Values of a table or a part of a graph on the host: plain typed arrays take the shape that the pattern declares. */
export type HostInput = Tensor | Int32Array | Float32Array | Uint8Array | BigInt64Array | readonly number[];

/**
 * Inputs by name. A graph NAME is `NAME.row_ptr` and `NAME.col_idx` (CSR), or `NAME.row` and `NAME.col` (COO, with
 * `NAME.head` and `NAME.batch` where it is declared for each), and `NAME.weight` where weights are read.
 */
export type Inputs = Readonly<Record<string, HostInput | TableBinding>>;

/** Everything but the tensors. */
export interface Settings {
  readonly inputs?: Inputs | undefined;
  /** Values of dynamic parameters; the others keep their defaults. */
  readonly parameters?: Readonly<Record<string, number | boolean>> | undefined;
  /** Rows in use for each batch; all rows if not given. Rows past a batch's queries are not written by `encode`. */
  readonly lengths?: Lengths | undefined;
  /** Sizes of the token grid's axes, where the pattern leaves one open or for a check. */
  readonly grid?: readonly number[] | undefined;
}

export interface Lengths {
  readonly queries?: readonly number[];
  readonly keys?: readonly number[];
}

export interface Bindings extends Settings {
  readonly q: TensorBinding;
  readonly k: TensorBinding;
  readonly v: TensorBinding;
  readonly out: TensorBinding;
  /** [batch, heads, queries]; a temporary one is made if not given. */
  readonly lse?: TensorBinding | undefined;
}

/** Bindings whose tensors may be longer than one binding can be, or lie in several buffers. */
export interface LongBindings extends Settings {
  readonly q: LentTensor;
  readonly k: LentTensor;
  readonly v: LentTensor;
  readonly out: LentTensor;
  /** As in `Bindings`. */
  readonly lse?: LentTensor | undefined;
}

/** Tensors on the host: q [batch, heads, queries, dim], k and v [batch, key_heads, keys, dim]. */
export interface HostTensors extends Settings {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

export function isTableBinding(value: HostInput | TableBinding): value is TableBinding {
  return typeof value === 'object' && 'buffer' in value && !ArrayBuffer.isView(value);
}
