import type { Shader } from './shader.js';
import { planEntry } from './spaces.js';
import { wgsl } from './wgsl.js';

/** What every way of visiting shares, and the one that reads the host's plan. */

export interface Visit {
  readonly functions: readonly string[];
  /** Statements of `main` after `at`. */
  readonly begin: string;
  /** The next `Tile`, of kind NO_PAIR after the last. */
  readonly next: string;
  /** How many keys it may be at most, of all tiles; undefined where only going through them tells. */
  readonly most: string | undefined;
}

/** What `next_tile` returns. */
export const TILE_STRUCT = wgsl`
  const NO_PAIR = 0u;
  const SOME_PAIRS = 1u;
  const EVERY_PAIR = 2u;
  // A tile of a segment's keys, and which of its pairs with the query tile are edges.
  struct Tile {
    segment: u32,
    tile: i32,
    kind: u32,
  }
  const NO_TILE = Tile(0u, 0, NO_PAIR);`;

/** Where a workgroup starts counting, and by how much: with split keys each takes every splits-th tile. */
export const firstOf = (split: boolean): string =>
  split ? '(at.split + at.splits - (*cursor).visited % at.splits) % at.splits' : '0u';
export const stepOf = (split: boolean, one: string): string => (split ? 'at.splits' : one);

/** Visits what the host planned. */
export function visitRuns(shader: Shader, split: boolean, one: string): Visit {
  planEntry(shader);
  const plan = shader.bind('plan');
  const part = (p: 'offsets' | 'runs'): string => shader.uniform(p, 'u32', { kind: 'plan', part: p });
  const count = (p: 'tiles' | 'classes'): string => shader.uniform(p, 'u32', { kind: 'plan', part: p });
  const functions = [
    TILE_STRUCT,
    wgsl`
    // Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
    struct Cursor {
      run: u32,
      last_run: u32,
      segment: u32,
      kind: u32,
      first: i32,
      n: u32,
      count: u32,
      ${split ? '// Tiles of the runs before.\nvisited: u32,' : ''}
    }
    fn first_tile(at: Place) -> Cursor {
      let row = ${part('offsets')} + (plan_entry(at) * ${count('classes')} + u32(at.residue)) * ${count('tiles')} + at.tile;
      return Cursor(${plan}[row], ${plan}[row + 1u], 0u, NO_PAIR, 0, 0u, 0u${split ? ', 0u' : ''});
    }`,
    wgsl`
    // Runs of key tiles that the host planned: segment and kind, first tile, how many.
    fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
      while ((*cursor).n >= (*cursor).count) {
        if ((*cursor).run >= (*cursor).last_run) {
          return NO_TILE;
        }
        let entry = ${part('runs')} + 3u * (*cursor).run;
        let kind = ${plan}[entry];
        ${split ? '(*cursor).visited += (*cursor).count;' : ''}
        (*cursor).segment = kind >> 1u;
        (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
        (*cursor).first = i32(${plan}[entry + 1u]);
        (*cursor).count = ${plan}[entry + 2u];
        (*cursor).n = ${firstOf(split)};
        (*cursor).run += 1u;
      }
      let tile = (*cursor).first + i32((*cursor).n);
      (*cursor).n += ${stepOf(split, one)};
      return Tile((*cursor).segment, tile, (*cursor).kind);
    }`,
  ];
  return {
    functions,
    begin: 'var cursor = first_tile(at);',
    next: 'next_tile(at, &cursor)',
    most: undefined,
  };
}
