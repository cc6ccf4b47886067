import fc from 'fast-check';
import { boundsOf } from '../../compiler/ir/bounds.js';
import { ruleConditions } from '../../compiler/ir/evaluate.js';
import { evaluatePairs } from '../../compiler/ir/evaluate.js';
import { isInfinite } from '../../compiler/ir/interval.js';
import { range } from '../../compiler/ir/interval.js';
import { Cover } from '../../compiler/ir/range.js';
import { variable } from '../../compiler/ir/build.js';
import type { BoundGraph } from '../../compiler/ir/inputs.js';
import { permute } from '../../compiler/ir/sample.js';
import { baseOf, setShape, type BoundShape } from '../../compiler/ir/shape.js';
import { boxOfWholeSide } from '../../compiler/ir/space.js';
import { compileTape } from '../../compiler/ir/tape.js';
import { checkSource } from '../../compiler/check/index.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import { randomInputs, randomPattern } from './generate.js';

/**
 * Bounds solved for one side, given a box of the other side's positions, leave no edge of the box out: throws where one
 * does. Returns how many rules were bounded.
 */
export function checkBounds(target: 'i' | 'j', runs: number): number {
  let bounded = 0;
  fc.assert(
    fc.property(randomPattern(), fc.nat(1000), fc.integer({ min: 0, max: 20 }), (p, at, width) => {
      const checked = checkSource({ file: 'random.attn', text: p.text }, { pattern: 'random' });
      if (hasErrors(checked.diagnostics) || !checked.pattern || p.grid.length > 0) return;
      const { pattern } = checked;
      const parameters = new Map(
        pattern.parameters.filter((q) => !q.fixed).map((q) => [q.name, q.value as number]),
      );
      const shape: BoundShape = {
        batch: p.batch,
        heads: p.heads,
        keyHeads: 1,
        dim: 16,
        queries: p.queries,
        keys: p.keys,
        grid: [],
        align: 'end',
        parameters,
      };
      const inputs = randomInputs(p);
      const other = target === 'i' ? 'j' : 'i';
      const first = other === 'i' ? baseOf(shape, 0) : 0;
      const count = other === 'i' ? shape.queries[0] : shape.keys[0];
      const lo = first + (at % count);
      const hi = Math.min(lo + width, first + count - 1);
      const box = new Map(boxOfWholeSide(target, 0));
      box.set(other, range(variable(`${other}.lo`), variable(`${other}.hi`)));
      const cover = new Cover(box);
      for (const { when } of ruleConditions(pattern.edges)) {
        const bounds = boundsOf(when, target, cover);
        if (bounds.some((b) => b.kind === 'interval' && isInfinite(b.lo) && isInfinite(b.hi))) continue;
        bounded++;
        const inside = membership(bounds, shape, inputs, { other, lo, hi });
        const holds = evaluatePairs([when], shape, inputs);
        for (let x = lo; x <= hi; x++) {
          if (other === 'i') holds.row(0, 0, x);
          const start = target === 'i' ? baseOf(shape, 0) : 0;
          const end = start + (target === 'i' ? shape.queries[0] : shape.keys[0]);
          for (let y = start; y < end; y++) {
            if (other === 'j') holds.row(0, 0, y);
            if (holds.at(other === 'i' ? y : x) && !inside(y)) {
              throw new Error(`${other} in ${lo}..${hi}: ${target} = ${y} is left out\n${p.text}`);
            }
          }
        }
      }
    }),
    { numRuns: runs, seed: 7 },
  );
  return bounded;
}

/** Is a position in the union? */
function membership(
  bounds: ReturnType<typeof boundsOf>,
  shape: BoundShape,
  inputs: ReturnType<typeof randomInputs>,
  box: { other: 'i' | 'j'; lo: number; hi: number },
): (y: number) => boolean {
  const intervals: [number, number][] = [];
  const bind = (roots: Parameters<typeof compileTape>[0]): ReturnType<typeof compileTape> => {
    const tape = compileTape(roots, { precision: 'f32' });
    setShape(tape, shape, 0, 0);
    tape.set(`${box.other}.lo`, box.lo);
    tape.set(`${box.other}.hi`, box.hi);
    return tape;
  };
  for (const b of bounds) {
    const finite = [b.lo, b.hi].map((e) => (isInfinite(e) ? variable('unused') : e));
    const tape = bind(finite);
    const push = (): void => {
      tape.run(inputs);
      intervals.push([
        isInfinite(b.lo) ? -Infinity : tape.result(0),
        isInfinite(b.hi) ? Infinity : tape.result(1),
      ]);
    };
    if (b.kind === 'interval') push();
    else if (b.kind === 'edges') {
      const rows = bind([b.rowLo, b.rowHi]);
      rows.run(inputs);
      const graph = inputs.get(b.input) as BoundGraph;
      for (let a = Math.max(0, rows.result(0)); a <= Math.min(graph.rows - 1, rows.result(1)); a++) {
        for (let n = graph.rowPtr[a]; n < graph.rowPtr[a + 1]; n++) {
          tape.set('member', graph.colIdx[n]);
          push();
        }
      }
    } else {
      const args = bind(b.args);
      for (let x = box.lo; x <= box.hi; x++) {
        args.set(box.other, x);
        args.run(inputs);
        const [count, below, seed, ...keys] = b.args.map((_, n) => args.result(n));
        for (let n = 0; n < Math.min(count, below); n++) {
          tape.set('member', permute(n, below, seed, keys));
          push();
        }
      }
    }
  }
  return (y) => intervals.some(([lo, hi]) => y >= lo && y <= hi);
}
