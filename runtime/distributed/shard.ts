import type { StorageTypes } from '../../compiler/ir/program.js';
import type { Arena } from '../arena.js';
import type { TensorBinding } from '../bindings.js';
import { USAGE } from '../gpu-flags.js';
import { viewOf } from '../parts/views.js';
import type { StreamSources } from '../stream/plan.js';
import { rowBytesOf, type RowSource } from '../stream/rows.js';
import type { Uploader } from '../stream/uploader.js';
import { bytesPerElement } from '../tensor.js';
import { piecesOfRows, type HeadGroup, type RowRange, type ShardLayout } from './layout.js';
import type { RowsAt } from './move-rows.js';

/** A rank's rows on its device. */

/** Query rows of one batch and the heads of a group, and their results. */
export interface QueryPiece {
  readonly batch: number;
  readonly group: HeadGroup;
  readonly rows: RowRange;
  readonly q: TensorBinding;
  /** What kernels write. */
  readonly out: TensorBinding;
  readonly lse: TensorBinding;
}

/** Key rows of one batch and the key heads of a group. */
export interface KeyPiece {
  readonly batch: number;
  readonly group: HeadGroup;
  readonly rows: RowRange;
  readonly k: TensorBinding;
  readonly v: TensorBinding;
}

export interface Shard {
  readonly queries: readonly QueryPiece[];
  readonly keys: readonly KeyPiece[];
}

/** Makes the buffers; nothing is in them yet. Out is 0 where nothing is written. */
export function makeShard(
  arena: Arena,
  layout: ShardLayout,
  shape: { readonly batch: number; readonly dim: number; readonly valueDim: number },
  queries: RowRange,
  keys: RowRange,
  types: StorageTypes,
): Shard {
  const places = Array.from({ length: shape.batch }, (_, batch) =>
    layout.groups.map((group) => ({ batch, group })),
  ).flat();
  const tensor = (
    name: string,
    heads: number,
    { lo, hi }: RowRange,
    dim: number,
    dtype: StorageTypes['input'],
    usage: number,
  ): TensorBinding => ({
    buffer: arena.create(name, heads * (hi - lo) * dim * bytesPerElement[dtype], USAGE.storage | usage),
    dtype,
    shape: [1, heads, hi - lo, dim],
  });
  const { dim, valueDim } = shape;
  return {
    queries: places.flatMap(({ batch, group }) =>
      piecesOfRows(queries.lo, queries.hi, layout.queryRows).map((rows): QueryPiece => {
        const lse = 4 * group.heads * (rows.hi - rows.lo);
        return {
          ...{ batch, group, rows },
          q: tensor('q', group.heads, rows, dim, types.input, USAGE.copyDst),
          out: tensor('out', group.heads, rows, valueDim, types.output, USAGE.copySrc),
          lse: {
            buffer: arena.create('lse', lse, USAGE.storage | USAGE.copySrc),
            shape: [1, group.heads, rows.hi - rows.lo],
          },
        };
      }),
    ),
    keys: places.flatMap(({ batch, group }) =>
      piecesOfRows(keys.lo, keys.hi, layout.keyRows).map((rows): KeyPiece => ({
        ...{ batch, group, rows },
        k: tensor('k', group.keyHeads, rows, dim, types.input, USAGE.copyDst),
        v: tensor('v', group.keyHeads, rows, valueDim, types.input, USAGE.copyDst),
      })),
    ),
  };
}

/** Reads the shard's rows, and no others, onto the device. */
export async function loadShard(shard: Shard, sources: StreamSources, uploader: Uploader): Promise<void> {
  const load = async (
    source: RowSource,
    batch: number,
    first: number,
    heads: number,
    { lo, hi }: RowRange,
    { buffer }: TensorBinding,
  ): Promise<void> => {
    const headBytes = (hi - lo) * rowBytesOf(source);
    for (let n = 0; n < heads; n++)
      await uploader.upload(source, { batch, head: first + n, lo, hi, buffer, offset: n * headBytes });
  };
  for (const { batch, group, rows, k, v } of shard.keys) {
    await load(sources.k, batch, group.keyHead, group.keyHeads, rows, k);
    await load(sources.v, batch, group.keyHead, group.keyHeads, rows, v);
  }
  for (const { batch, group, rows, q } of shard.queries)
    await load(sources.q, batch, group.head, group.heads, rows, q);
}

/** Some rows of a piece, of all its heads. */
export function rowsOfPiece(
  name: 'q' | 'k' | 'v' | 'out' | 'lse',
  tensor: TensorBinding,
  piece: RowRange,
  { lo, hi }: RowRange,
): TensorBinding {
  const [, heads] = tensor.shape;
  const range = { batch: 0, batches: 1, head: 0, heads, lo: lo - piece.lo, hi: hi - piece.lo };
  const view = viewOf(name, tensor, range);
  return name === 'k' || name === 'v' ? { ...view, row: lo } : view;
}

/** One head of a tensor whose rows are `rows`. */
export function headOf(tensor: TensorBinding, head: number, rows: RowRange, rowBytes: number): RowsAt {
  return { buffer: tensor.buffer, offset: head * (rows.hi - rows.lo) * rowBytes, rows };
}
