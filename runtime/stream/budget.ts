import type { StorageType, StorageTypes } from '../../compiler/ir/program.js';
import type { Bound } from '../bind.js';
import { usageError } from '../errors.js';
import type { BandLimits } from '../parts/bands.js';
import { bytesPerElement } from '../tensor.js';

/** How a memory budget is shared among what a streamed run keeps at hand. */

export interface StreamBudget {
  /** Bytes of buffers on the device. */
  readonly deviceBytes: number;
  /** Bytes on the host: what waits to be uploaded, and results on their way out. */
  readonly hostBytes: number;
  /** Most bytes that are bound at once. */
  readonly bindingBytes: number;
}

export interface StreamPlan {
  readonly limits: BandLimits;
  /** Bands under way at once. */
  readonly bandSlots: number;
  /** Windows of keys that are kept; at most, where a budget is planned before the bands. */
  readonly keySlots: number;
  /** Bytes of a chunk that is read and uploaded, and how many of them there are: none where nothing comes from the host. */
  readonly chunkBytes: number;
  readonly chunks: number;
}

/** Of a band's tensors one may be uploaded while another is computed and a third goes out. */
const BAND_SLOTS = 3;
/** The window that is in use, the next one, and one far away. */
const KEY_SLOTS = 3;
const CHUNKS = 4;
const MOST_CHUNK = 2 ** 25;
/** A binding starts where the device's alignment allows: up to this much before its first element. */
const SLACK = 256;
/** Keys between two needed ones that are uploaded rather than skipped. */
const GAP = 256;

/** Of q, k and v, of what kernels write, and of the results. */
export interface BudgetTypes extends StorageTypes {
  readonly computed: StorageType;
}

/**
 * Half of the device's budget goes to queries and results, half to keys and values; half of the host's to uploads, half
 * to results. Heads that share a key head are computed together.
 */
export function planBudget(bound: Bound, types: BudgetTypes, budget: StreamBudget): StreamPlan {
  const { shape, queries, keys, valueDim } = bound.binding;
  const [input, output] = [bytesPerElement[types.input], bytesPerElement[types.output]];
  const computed = valueDim * bytesPerElement[types.computed];
  const sharers = shape.keyHeads === 0 ? 1 : shape.heads / shape.keyHeads;
  const keyBytes = (shape.dim + valueDim) * input;
  const result = valueDim * output + 4;
  // The readback of a result lies in memory that the device can see too.
  const queryBytes = shape.dim * input + 2 * result + (types.computed === types.output ? 0 : computed);
  const bound64 = budget.bindingBytes - SLACK;
  const choose = (heads: number): { queryRows: number; keyRows: number } => ({
    queryRows: Math.floor(
      Math.min(
        budget.deviceBytes / 2 / BAND_SLOTS / queryBytes / heads,
        budget.hostBytes / 2 / BAND_SLOTS / result / heads,
        bound64 / Math.max(shape.dim * input, computed) / heads,
        Math.max(1, queries),
      ),
    ),
    keyRows: Math.floor(
      Math.min(
        budget.deviceBytes / 2 / KEY_SLOTS / keyBytes,
        bound64 / Math.max(shape.dim, valueDim) / input,
        Math.max(1, keys),
      ),
    ),
  });
  const heads = choose(sharers).queryRows >= 64 ? sharers : 1;
  const { queryRows, keyRows } = choose(heads);
  const rowBytes = Math.max(shape.dim, valueDim) * input;
  const chunkBytes = Math.min(MOST_CHUNK, Math.floor(budget.hostBytes / 2 / CHUNKS / rowBytes) * rowBytes);
  if (queryRows < 1 || keyRows < 1 || chunkBytes < rowBytes) {
    throw usageError(
      `a memory budget of ${budget.deviceBytes} bytes on the device, ${budget.hostBytes} on the host and ${budget.bindingBytes} a binding holds no row`,
      'give more',
    );
  }
  const limits: BandLimits = {
    batches: 1,
    heads,
    queryRows,
    keyRows,
    queryBreaks: [],
    keyBreaks: [],
    gap: GAP,
    tensorRows: queries,
  };
  return { limits, bandSlots: BAND_SLOTS, keySlots: KEY_SLOTS, chunkBytes, chunks: CHUNKS };
}
