// Sizes that tile kernels can be built to, whether or not a table picks them: each against the oracle.

import { emitSubgroupVariant } from '../../compiler/emit/subgroup-variant.js';
import { targetOf } from '../../compiler/emit/variant.js';
import type { Tiling } from '../../compiler/emit/tiling.js';
import type { Program } from '../../compiler/ir/program.js';
import { compile } from '../../compiler/compile.js';
import { run } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { qkv } from '../runtime/data.js';
import { opened, variantTest } from './subgroup-device.js';

const PLAIN: Tiling = {
  rows: 64,
  owned: 4,
  lanes: 16,
  chunk: 4,
  keepQueries: false,
  prefetch: false,
  subgroups: true,
};

/** What differs from PLAIN, and head sizes of q and k, and of v. */
const TILINGS: readonly (readonly [Partial<Tiling>, number, number])[] = [
  [{}, 24, 72],
  [{ prefetch: true }, 40, 80],
  [{ keepQueries: true, prefetch: true }, 24, 16],
  [{ chunk: 8 }, 64, 24],
  [{ owned: 8, prefetch: true }, 16, 136],
  [{ owned: 8, lanes: 8, chunk: 8 }, 40, 24],
  [{ owned: 8, lanes: 8, chunk: 8, keepQueries: true, prefetch: true }, 64, 64],
  [{ owned: 4, lanes: 8, prefetch: true }, 16, 40],
  [{ owned: 8, lanes: 8, subgroups: false, prefetch: true }, 16, 16],
];

const TEXT = 'pattern holes() { i -> j when abs(i - j) <= 70 and (i + j) % 7 != 0 }';

for (const [change, dim, valueDim] of TILINGS) {
  const { program } = compile(TEXT, { dim, valueDim, target: 'portable' });
  if (!program) throw new Error('the pattern does not compile');
  const [schedule] = program.schedules;
  const target = targetOf({ dim, valueDim, pattern: program.pattern });
  const tiling: Tiling = { ...PLAIN, ...change };
  const variants = [emitSubgroupVariant(program.variants[0], schedule, target, tiling) ?? []].flat();
  variantTest(`${JSON.stringify(change)}, head sizes ${dim} and ${valueDim}`, variants, async (t) => {
    const only: Program = { ...program, variants };
    const tensors = qkv({ heads: 2, keyHeads: 1, queries: 130, keys: 200, dim, valueDim });
    // Of one key a value that is not finite reaches the rows with an edge to it; of the last query, itself.
    for (const poison of [false, true]) {
      if (poison) {
        tensors.k.data[dim * 50 + 3] = NaN;
        tensors.q.data[dim * 129] = NaN;
      }
      const { out, lse, stats } = await run(opened.device, only, tensors, { decode: false });
      t.is(stats.family, 'subgroup');
      const c = compare({ out: out.data, lse: lse.data }, reference(program.pattern, tensors));
      t.true(c.pass, JSON.stringify(c));
    }
  });
}
