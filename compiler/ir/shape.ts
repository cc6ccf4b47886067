import type { Tape } from './tape.js';

/** Everything but the tensors and tables that a run, or a part of one, is bound to. */
export interface BoundShape {
  readonly batch: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly dim: number;
  /** For each batch: query rows to compute. */
  readonly queries: readonly number[];
  /** For each batch: keys of the sequence, however few of them are at hand. */
  readonly keys: readonly number[];
  /** Grid sizes, slowest first; empty where the pattern has no grid. */
  readonly grid: readonly number[];
  readonly align: 'end' | 'start';
  /** Values of the dynamic parameters. */
  readonly parameters: ReadonlyMap<string, number>;
  /** Where this part lies in its run; undefined for a whole run. */
  readonly part?: ShapePart;
  /** The keys that are at hand, first and one past the last, of every batch; all of them if undefined. */
  readonly window?: KeyWindow;
}

/**
 * A part of a run: some batches, heads and query rows. Batch b, head h and query row r of the part are batch
 * `batch + b`, head `head + h` and row `row + r` of the run; positions, heads and lengths in patterns mean the run's.
 */
export interface ShapePart {
  readonly batch: number;
  readonly head: number;
  readonly row: number;
  /** Heads of the run. */
  readonly heads: number;
  /** Queries of the run, for each batch of the part. */
  readonly queries: readonly number[];
}

export interface KeyWindow {
  readonly lo: number;
  /** One past the last. */
  readonly hi: number;
}

/** Queries of the whole run. */
const queriesOf = (shape: BoundShape, batch: number): number => (shape.part ?? shape).queries[batch];

/** Position of query row 0 of the run. */
const alignedBase = (shape: BoundShape, batch: number): number =>
  shape.align === 'end' ? shape.keys[batch] - queriesOf(shape, batch) : 0;

/** Position of the part's query row 0. */
export function baseOf(shape: BoundShape, batch: number): number {
  return alignedBase(shape, batch) + (shape.part?.row ?? 0);
}

/** Sets every variable that doesn't depend on the pair, for a batch and a head of the part. */
export function setShape(tape: Tape, shape: BoundShape, batch: number, head: number): void {
  const { part, window } = shape;
  tape.set('batch', batch + (part?.batch ?? 0));
  tape.set('head', head + (part?.head ?? 0));
  tape.set('heads', part?.heads ?? shape.heads);
  tape.set('queries', queriesOf(shape, batch));
  tape.set('keys', shape.keys[batch]);
  tape.set('base', alignedBase(shape, batch));
  tape.set('first', baseOf(shape, batch));
  tape.set('rows', shape.queries[batch]);
  tape.set('window.lo', window?.lo ?? 0);
  tape.set('window.hi', window?.hi ?? shape.keys[batch]);
  tape.set('dim', shape.dim);
  tape.set('scale', Math.fround(1 / Math.sqrt(shape.dim)));
  for (let n = 0; n < shape.grid.length; n++) tape.set(`size.${n}`, shape.grid[n]);
  for (const [name, value] of shape.parameters) tape.set(`param:${name}`, value);
}

/** Grid coordinates of a position, last axis fastest. */
export function gridCoordinates(position: number, sizes: readonly number[]): number[] {
  const at: number[] = new Array<number>(sizes.length);
  let rest = position;
  for (let n = sizes.length - 1; n >= 0; n--) {
    at[n] = n === 0 ? rest : ((rest % sizes[n]) + sizes[n]) % sizes[n];
    rest = Math.floor(rest / sizes[n]);
  }
  return at;
}

/** Sets one side of the pair: its position and grid coordinates. */
export function setSide(tape: Tape, side: 'i' | 'j', position: number, sizes: readonly number[]): void {
  tape.set(side, position);
  if (sizes.length === 0) return;
  const at = gridCoordinates(position, sizes);
  for (let n = 0; n < sizes.length; n++) tape.set(`${side}.${n}`, at[n]);
}
