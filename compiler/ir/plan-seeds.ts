import { variable } from './build.js';
import type { Expr } from './expr.js';
import { inputOf } from './graph-boxes.js';
import type { BoundGraph, BoundInputs } from './inputs.js';
import { bindTape, boxSetter, type BoxValues } from './plan-sides.js';
import { Cover } from './range.js';
import { permute } from './sample.js';
import type { Seed, Space } from './schedule.js';
import { gridCoordinates, type BoundShape } from './shape.js';
import { boxOfSide } from './space.js';
import { compileTape, type Tape } from './tape.js';

/** Seeds made ready to evaluate: where the host looks for the keys of a query tile. */

export type VisitLine = (lo: number, hi: number) => void;

export interface CompiledSeed {
  bind(batch: number, head: number, cls: number): void;
  box(query: BoxValues): void;
  /** Position intervals, for lines and lists. */
  line(visit: VisitLine): void;
  /** Coordinate boxes, for grids: of intervals only. */
  boxes(visit: (lo: readonly number[], hi: readonly number[]) => void): void;
}

const noBoxes = (): void => {
  throw new Error('families of intervals do not seed grids');
};

type IntervalSeed = Seed & { readonly kind: 'interval' };

/** All intervals are evaluated together; families one by one. */
export function compileSeeds(
  seeds: readonly Seed[],
  queries: Space,
  shape: BoundShape,
  inputs: BoundInputs,
): readonly CompiledSeed[] {
  const intervals = seeds.filter((s) => s.kind === 'interval');
  const families = seeds.filter((s) => s.kind !== 'interval');
  return [
    ...(intervals.length > 0 ? [compileIntervals(intervals, shape, inputs)] : []),
    ...families.map((s) => compileFamily(s, queries, shape, inputs)),
  ];
}

function compileIntervals(
  seeds: readonly IntervalSeed[],
  shape: BoundShape,
  inputs: BoundInputs,
): CompiledSeed {
  const axes = seeds[0].lo.length;
  const tape = compileTape(
    seeds.flatMap((s) => [...s.lo, ...s.hi]),
    { precision: 'f32' },
  );
  return {
    bind: (...at) => bindTape(tape, shape, ...at),
    box: boxSetter([tape]),
    line: (visit) => {
      tape.run(inputs);
      for (let n = 0; n < seeds.length; n++) visit(tape.result(2 * n), tape.result(2 * n + 1));
    },
    boxes: (visit) => {
      tape.run(inputs);
      seeds.forEach((s, n) =>
        visit(
          s.lo.map((_, a) => tape.result(2 * n * axes + a)),
          s.hi.map((_, a) => tape.result((2 * n + 1) * axes + a)),
        ),
      );
    },
  };
}

function compileFamily(
  seed: Exclude<Seed, IntervalSeed>,
  queries: Space,
  shape: BoundShape,
  inputs: BoundInputs,
): CompiledSeed {
  const tape = compileTape([seed.lo, seed.hi], { precision: 'f32' });
  const memberSlot = tape.slot('member');
  const member = (m: number, visit: VisitLine): void => {
    if (memberSlot >= 0) tape.registers[memberSlot] = m;
    tape.run(inputs);
    visit(tape.result(0), tape.result(1));
  };
  switch (seed.kind) {
    case 'edges': {
      const rows = compileTape([seed.batch, seed.head, seed.rowLo, seed.rowHi], { precision: 'f32' });
      return {
        bind: (...at) => [tape, rows].forEach((t) => bindTape(t, shape, ...at)),
        box: boxSetter([tape, rows]),
        boxes: noBoxes,
        line: (visit) => {
          rows.run(inputs);
          const graph = inputOf(inputs, seed.input) as BoundGraph;
          const first = (rows.result(0) * graph.heads + rows.result(1)) * (graph.rows + 1);
          const lo = Math.max(rows.result(2), 0);
          const hi = Math.min(rows.result(3), graph.rows - 1);
          for (let a = lo; a <= hi; a++) {
            for (let n = graph.rowPtr[first + a]; n < graph.rowPtr[first + a + 1]; n++) {
              member(graph.colIdx[n], visit);
            }
          }
        },
      };
    }
    case 'sample':
      return compileSample(seed.args, queries, shape, inputs, tape, member);
  }
}

function compileSample(
  args: readonly Expr[],
  queries: Space,
  shape: BoundShape,
  inputs: BoundInputs,
  tape: Tape,
  member: (m: number, visit: VisitLine) => void,
): CompiledSeed {
  const cover = new Cover(boxOfSide('i', queries, shape.grid.length));
  const ranges = args.map((a) => cover.range(a));
  const hull = compileTape([...ranges.map((r) => r.lo), ...ranges.map((r) => r.hi)], { precision: 'f32' });
  const each = compileTape(args, { precision: 'f32' });
  const i = cover.range(variable('i'));
  const positions = compileTape([i.lo, i.hi], { precision: 'f32' });
  const tapes = [tape, hull, each, positions];
  return {
    bind: (...at) => tapes.forEach((t) => bindTape(t, shape, ...at)),
    box: boxSetter(tapes),
    boxes: noBoxes,
    line: (visit) => {
      const enumerateAll = ([count, below, seed, ...keys]: readonly number[]): void => {
        const members = Math.min(count, below);
        for (let n = 0; n < members; n++) member(permute(n, below, seed, keys), visit);
      };
      hull.run(inputs);
      const lo = args.map((_, n) => hull.result(n));
      if (lo.every((x, n) => x === hull.result(args.length + n))) {
        enumerateAll(lo);
        return;
      }
      const seen = new Set<string>();
      const enumerate = (x: readonly number[]): void => {
        const key = x.join();
        if (seen.has(key)) return;
        seen.add(key);
        enumerateAll(x);
      };
      // Each position of the tile's hull: a superset of the tile's own, so nothing is missed.
      positions.run(inputs);
      for (let i = positions.result(0); i <= positions.result(1); i++) {
        each.set('i', i);
        gridCoordinates(i, shape.grid).forEach((x, n) => each.set(`i.${n}`, x));
        each.run(inputs);
        enumerate(args.map((_, n) => each.result(n)));
      }
    },
  };
}
