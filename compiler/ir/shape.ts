import type { Tape } from './tape.js';

/** Everything but the tensors and tables that a run is bound to. */
export interface BoundShape {
  readonly batch: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly dim: number;
  /** For each batch. */
  readonly queries: readonly number[];
  readonly keys: readonly number[];
  /** Grid sizes, slowest first; empty where the pattern has no grid. */
  readonly grid: readonly number[];
  readonly align: 'end' | 'start';
  /** Values of the dynamic parameters. */
  readonly parameters: ReadonlyMap<string, number>;
}

/** Position of query row 0. */
export function baseOf(shape: BoundShape, batch: number): number {
  return shape.align === 'end' ? shape.keys[batch] - shape.queries[batch] : 0;
}

/** Sets every variable that doesn't depend on the pair. */
export function setShape(tape: Tape, shape: BoundShape, batch: number, head: number): void {
  tape.set('batch', batch);
  tape.set('head', head);
  tape.set('heads', shape.heads);
  tape.set('queries', shape.queries[batch]);
  tape.set('keys', shape.keys[batch]);
  tape.set('base', baseOf(shape, batch));
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
