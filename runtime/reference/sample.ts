import type { Pattern } from '../../compiler/ir/edges.js';
import type { HostTensors } from '../bindings.js';
import { tensor, toFloat32, type Tensor } from '../tensor.js';
import { reference, type Reference, type RowIndex } from './reference.js';

/** The oracle on some of the rows, where all of them would take too long. */

/**
 * `most` rows: the first and the last of all, then rows drawn evenly from all in a random order, so that wherever the
 * list is cut off it is a fair sample. `queries` of each batch; `random` gives numbers from 0 up to 1.
 */
export function sampleRows(
  shape: { readonly heads: number; readonly queries: readonly number[] },
  most: number,
  random: () => number,
): readonly RowIndex[] {
  const total = shape.heads * shape.queries.reduce((a, b) => a + b, 0);
  if (total === 0) return [];
  const at = (n: number): RowIndex => {
    let rest = n;
    let batch = 0;
    while (rest >= shape.heads * shape.queries[batch]) rest -= shape.heads * shape.queries[batch++];
    return { batch, head: Math.floor(rest / shape.queries[batch]), row: rest % shape.queries[batch] };
  };
  const chosen = new Set([0, total - 1]);
  const drawn: number[] = [];
  const inner = Math.max(0, most - chosen.size);
  for (let n = 0; n < inner; n++) {
    const row = Math.min(total - 1, Math.floor(((n + random()) * total) / inner));
    if (!chosen.has(row)) drawn.push(row);
    chosen.add(row);
  }
  for (let n = drawn.length - 1; n > 0; n--) {
    const other = Math.floor(random() * (n + 1));
    [drawn[n], drawn[other]] = [drawn[other], drawn[n]];
  }
  return [...new Set([0, total - 1]), ...drawn].map(at);
}

export interface SampleOptions {
  /** Rows that are computed however long they take. */
  readonly least: number;
  /** Milliseconds after which no further rows are begun. */
  readonly patience: number;
  /** Told how many rows are done. */
  readonly step?: (done: number) => void;
}

/** Rows that are done before the first look at the clock; then twice as many each time. */
const CHUNK = 16;

/** The oracle row by row in the order given, until the time is up; `rows` of the result says how far it came. */
export function sampledReference(
  pattern: Pattern,
  tensors: HostTensors,
  rows: readonly RowIndex[],
  options: SampleOptions,
): Reference {
  // Widened once, not for every chunk.
  const wide = { ...tensors, q: widened(tensors.q), k: widened(tensors.k), v: widened(tensors.v) };
  const parts: Reference[] = [];
  const start = performance.now();
  let done = 0;
  for (let chunk = CHUNK; done < rows.length; chunk *= 2) {
    if (done >= options.least && performance.now() - start > options.patience) break;
    // What a chunk takes is known from those before it: none should take much more than all the time there is.
    const pace = done === 0 ? 0 : (performance.now() - start) / done;
    const affordable = pace === 0 ? chunk : Math.max(CHUNK, Math.floor(options.patience / 2 / pace));
    const count = Math.min(chunk, affordable);
    options.step?.(done);
    parts.push(reference(pattern, wide, { rows: rows.slice(done, done + count) }));
    done = Math.min(rows.length, done + count);
  }
  return joined(parts, rows.slice(0, done), tensors.v.shape[3]);
}

function widened(t: Tensor): Tensor {
  return t.dtype === 'f32' ? t : tensor('f32', t.shape, toFloat32(t));
}

function joined(parts: readonly Reference[], rows: readonly RowIndex[], valueDim: number): Reference {
  const join = (pick: (r: Reference) => Float64Array): Float64Array => {
    const out = new Float64Array(parts.reduce((sum, p) => sum + pick(p).length, 0));
    parts.reduce((at, p) => (out.set(pick(p), at), at + pick(p).length), 0);
    return out;
  };
  const tainted = new Uint8Array(rows.length);
  parts.reduce((at, p) => (tainted.set(p.tainted, at), at + p.tainted.length), 0);
  return {
    out: join((p) => p.out),
    lse: join((p) => p.lse),
    maxScore: join((p) => p.maxScore),
    edges: join((p) => p.edges),
    tainted,
    valueDim,
    rows,
  };
}
