// Random patterns all the way: text, checker, passes, schedules, WGSL, a device, against the oracle.

import test from 'ava';
import fc from 'fast-check';
import { checkSource } from '../../compiler/check/index.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import type { Program } from '../../compiler/ir/program.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import { run, tensor, type HostTensors } from '../../runtime/index.js';
import { isAttncError } from '../../runtime/errors.js';
import { openDevice } from '../../runtime/node/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { fitsShape } from '../differential/problems.js';
import { FULL } from '../differential/settings.js';
import { randomInputs, randomPattern, type RandomPattern } from '../property/generate.js';
import { randomNeighbourhood } from '../property/generate-grid.js';
import { everySchedule, withoutPasses } from './programs.js';
import { makeTensors } from './tensors.js';

const PATTERNS = FULL ? 400 : 30;
const NEIGHBOURHOODS = FULL ? 100 : 10;
const DIM = 16;

/** && and || in a kernel, each a branch: SwiftShader takes minutes to compile one with 200 of them. */
const MOST_BRANCHES = 100;

function branches(program: Program, schedule: number): number {
  const { kernels } = program.variants[schedule];
  return Math.max(...kernels.map((k) => k.wgsl.split(/&&|\|\|/).length - 1));
}

/** The tables of a random pattern as the runtime takes them: all but those that it doesn't declare. */
function bindingsOf(p: RandomPattern, pattern: Pattern): HostTensors {
  const [queries, keys] = [Math.max(...p.queries), Math.max(...p.keys)];
  const shape = { batch: p.batch, heads: p.heads, keyHeads: 1, queries, keys };
  const inputs = [...randomInputs(p)].flatMap(([name, value]) => {
    if (!pattern.inputs.some((d) => d.name === name)) return [];
    if (value.kind === 'table')
      return [[name, tensor('i32', value.sizes, Int32Array.from(value.data))] as const];
    return [
      [`${name}.row_ptr`, tensor('i32', [value.rowPtr.length], value.rowPtr)] as const,
      [`${name}.col_idx`, tensor('i32', [value.colIdx.length], value.colIdx)] as const,
    ];
  });
  return {
    ...makeTensors(shape, DIM, DIM, 'plain', p.seed),
    inputs: Object.fromEntries(inputs),
    lengths: { queries: p.queries, keys: p.keys },
    ...(p.grid.length > 0 ? { grid: p.grid } : {}),
  };
}

/** Any rules; then neighbourhoods on grids, each in the last of its schedules, which is that of boxes. */
const DRAWN: readonly RandomPattern[] = [
  ...fc.sample(randomPattern(), { numRuns: PATTERNS, seed: 7 }),
  ...fc.sample(randomNeighbourhood(), { numRuns: NEIGHBOURHOODS, seed: 7 }),
];

test('random patterns give what the oracle gives', async (t) => {
  const opened = await openDevice({ limits: 'offered' });
  let tried = 0;
  let edges = 0;
  let refused = 0;
  let branchy = 0;
  const names = new Map<string, number>();
  try {
    for (const [n, p] of DRAWN.entries()) {
      const { pattern, diagnostics } = checkSource(
        { file: 'random.attn', text: p.text },
        { pattern: 'random' },
      );
      if (!pattern || hasErrors(diagnostics)) continue;
      const tensors = bindingsOf(p, pattern);
      let expected;
      try {
        expected = reference(pattern, tensors);
      } catch (error) {
        // What binding refuses, such as a graph of other rows than the pattern reads.
        if (!isAttncError(error)) throw error;
        refused++;
        continue;
      }
      const program = (n % 5 === 0 ? withoutPasses : everySchedule)(pattern, DIM, DIM);
      // One schedule after the other, and now and then with the keys divided.
      const fits = program.schedules.flatMap((s, m) =>
        !fitsShape(s, p) || branches(program, m) > MOST_BRANCHES ? [] : [m],
      );
      if (fits.length === 0) {
        branchy++;
        continue;
      }
      const turn = n < PATTERNS ? n % fits.length : fits.length - 1;
      const ways = FULL ? fits.flatMap((s) => [0, 1].map((d) => [s, d])) : [[fits[turn], n % 3]];
      for (const [schedule, d] of ways) {
        const { name } = program.schedules[schedule];
        names.set(name, (names.get(name) ?? 0) + 1);
        const result = await run(opened.device, program, tensors, { schedule, decode: d === 1 });
        const c = compare({ out: result.out.data, lse: result.lse.data }, expected);
        t.true(c.pass, `${name}, seed ${p.seed}: ${JSON.stringify(c)}\n${p.text}`);
      }
      for (const m of expected.edges) edges += m;
      tried++;
    }
  } finally {
    opened.close();
  }
  t.log(
    `${tried} patterns, ${edges} edges, ${refused} refused at binding, ${branchy} with too many branches; ${[...names].join(' ')}`,
  );
  t.true(tried > DRAWN.length * 0.6 && edges > 0);
  t.true((names.get('boxes') ?? 0) > NEIGHBOURHOODS / 2);
});
