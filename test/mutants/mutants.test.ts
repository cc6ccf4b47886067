import test from 'ava';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Deliberate mistakes in `cover`, `bounds`, index spaces, planning and residual masks, each of which the differential
 * check must notice. A text that no longer occurs in the built file fails too, so the table stays true.
 */
interface Mutant {
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** Which occurrence of `from`; the first by default. */
  readonly at?: number;
  /** The check that must notice it: `mutants`, of schedules, by default. */
  readonly check?: 'mutants' | 'needs';
}

const MUTANTS: readonly Mutant[] = [
  // cover: intervals, congruences, comparisons
  {
    file: 'compiler/ir/range.js',
    from: 'any: below(d.lo, ZERO, strict)',
    to: 'any: below(d.lo, ZERO, true)',
  },
  {
    file: 'compiler/ir/range.js',
    from: 'all: below(d.hi, ZERO, strict)',
    to: 'all: below(d.lo, ZERO, strict)',
  },
  {
    file: 'compiler/ir/interval.js',
    from: "make('sub', 'int', [modulus, ONE])",
    to: "make('sub', 'int', [modulus, int(2)])",
  },
  { file: 'compiler/ir/range.js', from: 'and(eq(d.lo, ZERO), eq(d.hi, ZERO))', to: 'eq(d.lo, ZERO)' },
  {
    file: 'compiler/ir/range.js',
    from: 'any: not(t.all), all: not(t.any)',
    to: 'any: not(t.any), all: not(t.all)',
  },
  {
    file: 'compiler/ir/range.js',
    from: 'and(not(p.all), not(q.all))',
    to: 'and(not(p.any), not(q.any))',
  },
  // known bits
  {
    file: 'compiler/ir/interval.js',
    from: "make('ones', 'int', [make('bitxor', 'int', [r.lo, r.hi])])",
    to: "make('bitxor', 'int', [r.lo, r.hi])",
  },
  // tables
  {
    file: 'compiler/ir/inputs.js',
    from: 'scan(s.data, lo, hi, sign, start)',
    to: 'scan(s.data, lo, hi - 1, sign, start)',
  },
  { file: 'compiler/ir/inputs.js', from: 'graph.colIdx[at] <= bHi', to: 'graph.colIdx[at] < bHi' },
  // bounds
  {
    file: 'compiler/ir/bounds.js',
    from: "e.op === 'lt' ? int(-1) : ZERO",
    to: "e.op === 'lt' ? int(-2) : int(-1)",
  },
  { file: 'compiler/ir/bounds.js', from: 'sub(by.lo, int(1))', to: 'sub(by.lo, int(2))' },
  {
    file: 'compiler/ir/bounds.js',
    from: 'solve(e.args[0], sub(ZERO, hi), hi)',
    to: 'solve(e.args[0], ZERO, hi)',
  },
  { file: 'compiler/ir/bounds.js', from: 'sub(lo, rest.hi)', to: 'sub(lo, rest.lo)' },
  // index spaces
  {
    file: 'compiler/ir/space.js',
    from: 'rank: ceilDiv(max(sub(P, start), ZERO), step)',
    to: 'rank: div(max(sub(P, start), ZERO), step)',
  },
  {
    file: 'compiler/ir/space.js',
    from: 'size: ceilDiv(sub(ROWS, CLASS), step)',
    to: 'size: div(sub(ROWS, CLASS), step)',
  },
  {
    file: 'compiler/ir/space.js',
    from: 'ceilDiv(sub(mod(p, period), start), step)',
    to: 'div(sub(mod(p, period), start), step)',
  },
  // boxes of keys
  {
    file: 'compiler/ir/segment.js',
    from: "kind: 'box', lo: seed.lo, hi: seed.hi",
    to: "kind: 'box', lo: seed.lo, hi: seed.hi.map((x) => sub(x, ONE))",
  },
  {
    file: 'compiler/ir/segment.js',
    from: 'isInfinite(b.hi) ? last[n] : min(b.hi, last[n])',
    to: 'isInfinite(b.hi) ? sub(last[n], ONE) : min(b.hi, last[n])',
  },
  {
    file: 'compiler/ir/segment.js',
    from: 'select(guard, isInfinite(b.hi)',
    to: 'select(FALSE, isInfinite(b.hi)',
  },
  {
    file: 'compiler/ir/plan-box.js',
    from: 'ends.result(axes + n) - lo[n] + 1',
    to: 'ends.result(axes + n) - lo[n]',
  },
  { file: 'compiler/ir/plan-box.js', from: 'row(endOf(last[0]) - 1)', to: 'row(last[0] * tileSize)' },
  { file: 'compiler/ir/plan-box.js', from: 'row(first[0] * tileSize)', to: 'row(endOf(last[0]) - 1)' },
  { file: 'compiler/ir/plan-box.js', from: 'x + extents[n] - 1', to: 'x' },
  {
    file: 'compiler/ir/plan-box.js',
    from: 'gridCoordinates(v, extents)',
    to: 'gridCoordinates(v, shape.grid)',
  },
  { file: 'compiler/ir/plan-box.js', from: 'rowSize = extents.slice(1)', to: 'rowSize = extents' },
  {
    file: 'compiler/schedule/build-schedule.js',
    from: "b.kind === 'box' &&",
    to: "b.kind === 'box' ||",
  },
  // residual masks and exclusions
  {
    file: 'compiler/ir/segment.js',
    from: 'isConst(cover.truth(a).all, 1)',
    to: '(isConst(cover.truth(a).all, 1) || mentions(a, "j"))',
  },
  {
    file: 'compiler/schedule/build-schedule.js',
    from: 'served.set(group, [...earlier, ...own])',
    to: 'served.set(group, [...earlier])',
  },
  // recognition of lattices
  { file: 'compiler/schedule/recognise.js', from: 'add(a, int(strict))', to: 'add(a, int(1))' },
  { file: 'compiler/schedule/recognise.js', from: 'cj === 1 ? others : sub(ZERO, others)', to: 'others' },
  // graphs divided by dense boxes
  { file: 'compiler/ir/graph-boxes.js', from: 'found.push(b)', to: 'found.push(b + 1)' },
  { file: 'compiler/ir/graph-boxes.js', from: 'part.colIdx[part.used++]', to: 'part.colIdx[part.used]' },
  { file: 'compiler/schedule/divide-graphs.js', from: 'part !== other.part', to: 'true' },
  // passes
  { file: 'compiler/passes/remove-covered.js', from: 'y.every(', to: 'y.some(' },
  { file: 'compiler/passes/flatten-overlaps.js', from: "edges.overlaps === 'merge' ||", to: '' },
  // keys that ranges of queries need
  ...(
    [
      ['key-runs', 'lo <= last.hi ||', 'lo <= last.hi + 1 ||'],
      ['key-runs', 'r.hi - residue + r.step', 'r.hi - residue'],
      ['digits', 'cut(r.hi, at - 1)', 'cut(r.hi, at - 2)'],
      ['digits', 'from[level] + 1', 'from[level] + 2'],
      ['digits', 'int(above - 1)', 'int(above)'],
      ['simplify', 'constant - steps * m', 'constant'],
      ['needs', 'shape.queries[batch]) - 1', 'shape.queries[batch])'],
      ['needs-search', "set('q.last', last)", "set('q.last', last + 1)"],
      ['needs-search', 'find(b, rest, emit, state)', '[rest]'],
      ['needs-exact', 'hi - 1, MOST_KEY_TESTS', 'hi - 2, MOST_KEY_TESTS'],
      ['needs-exact', 'Math.max(at, what[m].hi)', 'Math.max(at, what[m].hi + 1)'],
      ['needs-families', 'row <= hi; row++', 'row < hi; row++'],
      ['needs-families', 'n < Math.min(count, below)', 'n < Math.min(count, below) - 1'],
      ['needs-join', 'j <= run.hi', 'j < run.hi'],
      ['needs-intervals', 'lo = middle + 1', 'lo = middle + 2'],
    ] as const
  ).map(([name, from, to]) => ({ file: `compiler/ir/${name}.js`, from, to, check: 'needs' as const })),
];

const built = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Runs the check over a copy of the build with one text replaced; true if the check failed, as it should. */
async function isNoticed(mutant: Mutant | undefined, name = mutant?.check ?? 'mutants'): Promise<boolean> {
  mkdirSync(join(process.cwd(), '.build'), { recursive: true });
  const folder = mkdtempSync(join(process.cwd(), '.build', 'mutant-'));
  try {
    for (const part of ['compiler', 'grammar', 'runtime', 'test']) {
      cpSync(join(built, part), join(folder, part), { recursive: true });
    }
    if (mutant) {
      const file = join(folder, mutant.file);
      const pieces = readFileSync(file, 'utf8').split(mutant.from);
      const at = mutant.at ?? 0;
      if (pieces.length < at + 2) throw new Error(`${mutant.file} no longer says: ${mutant.from}`);
      const changed =
        pieces.slice(0, at + 1).join(mutant.from) + mutant.to + pieces.slice(at + 1).join(mutant.from);
      writeFileSync(file, changed);
    }
    const check = join(folder, `test/${name}/check.js`);
    return await new Promise<boolean>((done) => {
      execFile(process.execPath, [check], { cwd: process.cwd() }, (error) => done(error !== null));
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

for (const name of ['mutants', 'needs'] as const) {
  test(`the check of test/${name} passes over the compiler as it is`, async (t) => {
    t.false(await isNoticed(undefined, name));
  });
}

for (const mutant of MUTANTS) {
  test.serial(`noticed: ${mutant.file.split('/').at(-1) ?? ''}: ${mutant.from} → ${mutant.to}`, async (t) => {
    t.true(await isNoticed(mutant), 'the check passed over a mistake');
  });
}
