// Every typed error of a run, what it says, and that the device runs the next program as if nothing had been.

import test from 'ava';
import type { PROGRAM_VERSION } from '../../compiler/ir/program.js';
import { eq, int, lt, make, mod, parameter, read, ZERO } from '../../compiler/ir/build.js';
import { isAttncError, run, type ErrorKind } from '../../runtime/index.js';
import type { HostTensors, Program } from '../../runtime/index.js';
import { tensor, zeros } from '../../runtime/tensor.js';
import { qkv, random } from './data.js';
import { documentProgram, graphProgram, handProgram, I, J, origin, windowProgram } from './hand-program.js';
import { counting, usable } from './watched-device.js';

interface Case {
  readonly kind: ErrorKind;
  /** What the message must say. */
  readonly says: RegExp;
  readonly program?: Program;
  readonly given: HostTensors;
}

const small = qkv({ queries: 4 });
const doc = Int32Array.from([0, 0, 1, 1]);
const table = (type: 'int' | 'float' | 'bool') =>
  ({ name: 'doc', type, axes: [{ kind: 'keys' }], weighted: false, doc: undefined }) as const;
const biased = documentProgram({
  inputs: [table('float')],
  when: lt(read('table', 'float', 'doc', [I]), read('table', 'float', 'doc', [J])),
});
const graph = (inputs: Record<string, readonly number[] | Float32Array | BigInt64Array>): HostTensors => ({
  ...small,
  inputs,
});
const csr = (rowPtr: readonly number[], colIdx: readonly number[]): HostTensors =>
  graph({ 'bonds.row_ptr': rowPtr, 'bonds.col_idx': colIdx });
const step = { name: 'step', type: 'int', value: 2, range: undefined, fixed: false, doc: undefined } as const;
const divided = (divisor: ReturnType<typeof parameter>): Program =>
  handProgram({
    when: lt(ZERO, make('div', 'int', [I, divisor])),
    parameters: [step],
    checks: [{ expr: divisor, lo: 1, hi: 2 ** 31 - 1, kind: 'divisor', origin }],
  });
const grid = handProgram({
  grid: [
    { name: 'y', size: undefined },
    { name: 'x', size: int(3) },
  ],
});
const squared = make('mul', 'int', [I, make('mul', 'int', [J, int(1_000_000)])]);

const CASES: Readonly<Record<string, Case>> = {
  'q of three axes': {
    kind: 'wrong-shape',
    says: /'q' must have shape \[batch, heads, queries, 16\], not \[4, 16\]/,
    given: { ...small, q: random([4, 16], 1) },
  },
  'another head size': {
    kind: 'wrong-shape',
    says: /compiled for head size 16/,
    given: qkv({ queries: 4, dim: 8 }),
  },
  'k of another batch': {
    kind: 'wrong-shape',
    says: /'k' must have shape \[1, /,
    given: { ...small, k: random([2, 1, 4, 16], 1) },
  },
  'v of other keys': {
    kind: 'wrong-shape',
    says: /'v' .* k and v must agree/,
    given: { ...small, v: random([1, 1, 5, 16], 1) },
  },
  'heads that share unevenly': {
    kind: 'wrong-shape',
    says: /a multiple of 2 key heads/,
    given: qkv({ heads: 3, keyHeads: 2, queries: 4 }),
  },
  'q of integers': {
    kind: 'wrong-type',
    says: /'q' must be f32 or f16 or bf16, not i32/,
    given: { ...small, q: zeros('i32', [1, 1, 4, 16]) },
  },
  'more queries than keys': {
    kind: 'length-out-of-range',
    says: /queries of batch 0 is 5, but must be in 0 .. 3 .*align start/,
    given: qkv({ queries: 5, keys: 3 }),
  },
  'a length past the rows': {
    kind: 'length-out-of-range',
    says: /lengths\.keys\[0\] is 9, but must be in 0 .. 4/,
    given: { ...small, lengths: { keys: [9] } },
  },
  'a length too many': {
    kind: 'wrong-shape',
    says: /'lengths.queries' must have shape \[1\]/,
    given: { ...small, lengths: { queries: [1, 1] } },
  },
  'a parameter out of range': {
    kind: 'parameter-out-of-range',
    says: /'window' is 0, but must be in 1 .. 4096/,
    program: windowProgram(),
    given: { ...small, parameters: { window: 0 } },
  },
  'a parameter of another type': {
    kind: 'parameter-out-of-range',
    says: /'window' is 1.5, but must be a whole number/,
    program: windowProgram(),
    given: { ...small, parameters: { window: 1.5 } },
  },
  'a parameter that is not there': {
    kind: 'usage',
    says: /no parameter 'windw'; its parameters are window/,
    program: windowProgram(),
    given: { ...small, parameters: { windw: 3 } },
  },
  'a fixed parameter': {
    kind: 'parameter-out-of-range',
    says: /'step' is 3, but must be 2, as compiled; it shapes the program: compile with --set step=3/,
    program: handProgram({ parameters: [{ ...step, fixed: true }] }),
    given: { ...small, parameters: { step: 3 } },
  },
  'a divisor of 0': {
    kind: 'parameter-out-of-range',
    says: /a divisor in `i -> j when …` is 0 .*at least 1/,
    program: divided(parameter('step', 'int')),
    given: { ...small, parameters: { step: 0 } },
  },
  'a number past 32 bits': {
    kind: 'length-out-of-range',
    says: /reaches 11664000000.* 32 bits/,
    program: handProgram({
      when: lt(ZERO, squared),
      checks: [{ expr: squared, lo: -(2 ** 31), hi: 2 ** 31 - 1, kind: 'int32', origin }],
    }),
    given: qkv({ queries: 100, keys: 109 }),
  },
  'a grid that is not filled': {
    kind: 'wrong-shape',
    says: /4 keys do not fill the grid \(y: \?, x: 3\); the number of keys must be a multiple of 3/,
    program: grid,
    given: small,
  },
  'a grid of other sizes': {
    kind: 'wrong-shape',
    says: /'grid' must have shape \[y, 3\]/,
    program: grid,
    given: { ...qkv({ queries: 6 }), grid: [3, 2] },
  },
  'a grid with lengths that differ': {
    kind: 'length-out-of-range',
    says: /all batches need one length; the lengths are 6, 3/,
    program: grid,
    given: { ...qkv({ batch: 2, queries: 3, keys: 6 }), lengths: { keys: [6, 3] } },
  },
  'a grid for a pattern without': { kind: 'wrong-shape', says: /no `tokens/, given: { ...small, grid: [4] } },
  'a missing table': {
    kind: 'missing-input',
    says: /'doc' \(int\[keys\]\) is missing/,
    program: documentProgram(),
    given: small,
  },
  'an unknown table': {
    kind: 'unknown-input',
    says: /no input 'docs'; its inputs are doc/,
    program: documentProgram(),
    given: { ...small, inputs: { docs: doc } },
  },
  'a table of another length': {
    kind: 'wrong-shape',
    says: /'doc' must have shape \[4\], not \[5\]/,
    program: documentProgram(),
    given: { ...small, inputs: { doc: [1, 2, 3, 4, 5] } },
  },
  'a table of another rank': {
    kind: 'wrong-shape',
    says: /'doc' must have shape \[4\], not \[1, 4\]/,
    program: documentProgram(),
    given: { ...small, inputs: { doc: tensor('i32', [1, 4], doc) } },
  },
  'an int table of floats': {
    kind: 'wrong-type',
    says: /'doc' must be i32 or i64 or bool, not f32/,
    program: documentProgram(),
    given: { ...small, inputs: { doc: new Float32Array(4) } },
  },
  'an i64 that does not fit': {
    kind: 'value-out-of-range',
    says: /4294967296/,
    program: documentProgram(),
    given: { ...small, inputs: { doc: BigInt64Array.from([0n, 1n, 2n ** 32n, 0n]) } },
  },
  'NaN in a table': {
    kind: 'non-finite',
    says: /'doc' is NaN at \[2\]/,
    program: biased,
    given: { ...small, inputs: { doc: [0, 0, NaN, 0] } },
  },
  '−∞ in a condition': {
    kind: 'non-finite',
    says: /'doc' is -Infinity at \[1\]/,
    program: biased,
    given: { ...small, inputs: { doc: [0, -Infinity, 0, 0] } },
  },
  'a graph without columns': {
    kind: 'missing-input',
    says: /'bonds.col_idx'/,
    program: graphProgram(),
    given: graph({ 'bonds.row_ptr': [0, 0, 0, 0, 0] }),
  },
  'no graph at all': {
    kind: 'missing-input',
    says: /'bonds.row_ptr'/,
    program: graphProgram(),
    given: small,
  },
  'row_ptr of other rows': {
    kind: 'wrong-shape',
    says: /'bonds.row_ptr' must have shape \[5\], not \[4\]/,
    program: graphProgram(),
    given: csr([0, 1, 1, 1], [0]),
  },
  'row_ptr that does not start at 0': {
    kind: 'malformed-graph',
    says: /row_ptr\[0\] must be 0, but is 1/,
    program: graphProgram(),
    given: csr([1, 1, 1, 1, 1], [0]),
  },
  'row_ptr that falls': {
    kind: 'malformed-graph',
    says: /row_ptr\[2\] = 3 and row_ptr\[3\] = 1/,
    program: graphProgram(),
    given: csr([0, 1, 3, 1, 3], [0, 1, 2]),
  },
  'row_ptr past the end': {
    kind: 'malformed-graph',
    says: /row_ptr\[4\] = 9, but col_idx has 3/,
    program: graphProgram(),
    given: csr([0, 1, 2, 3, 9], [0, 1, 2]),
  },
  'row_ptr that ends early': {
    kind: 'malformed-graph',
    says: /row_ptr ends at 2, but col_idx has 3/,
    program: graphProgram(),
    given: csr([0, 1, 2, 2, 2], [0, 1, 2]),
  },
  'a column past the keys': {
    kind: 'malformed-graph',
    says: /row 2 has column 4, which must be in 0 .. 3/,
    program: graphProgram(),
    given: csr([0, 1, 2, 3, 3], [0, 1, 4]),
  },
  'a negative column': {
    kind: 'malformed-graph',
    says: /row 1 has column -1/,
    program: graphProgram(),
    given: csr([0, 1, 2, 3, 3], [0, -1, 2]),
  },
  'a row out of range': {
    kind: 'malformed-graph',
    says: /row\[1\] = 4, outside 0 .. 3/,
    program: graphProgram(),
    given: graph({ 'bonds.row': [0, 4], 'bonds.col': [0, 1] }),
  },
  'rows and columns that differ': {
    kind: 'wrong-shape',
    says: /'bonds.col' must have shape \[2\], not \[1\]/,
    program: graphProgram(),
    given: graph({ 'bonds.row': [0, 1], 'bonds.col': [0] }),
  },
  'a feature that is not there': {
    kind: 'missing-feature',
    says: /does not have the feature 'no-such-feature'/,
    program: handProgram({ features: ['no-such-feature'] }),
    given: small,
  },
  'a limit that is not met': {
    kind: 'limit-too-small',
    says: /maxComputeWorkgroupStorageSize must be at least 1073741824; the device has \d+/,
    program: handProgram({ limits: { maxComputeWorkgroupStorageSize: 2 ** 30 } }),
    given: small,
  },
  'a kernel that does not compile': {
    kind: 'internal',
    says: /the kernel rows does not compile: line \d+, column \d+: .*nonsense/,
    program: handProgram({ wgsl: 'nonsense' }),
    given: small,
  },
  'a kernel that asks for what is not there': {
    kind: 'internal',
    says: /kernel rows asks for .*"nothing"/,
    program: handProgram({
      uniforms: [{ name: 'x', type: 'u32', source: { kind: 'plan', part: 'nothing' } }],
    }),
    given: small,
  },
  'a pattern that nothing bounds': {
    kind: 'dense-budget',
    says: /rule 'all' would test 1000000000000 pairs one by one, past the budget of 17179869184; pass --allow-dense/,
    program: handProgram({ when: eq(mod(make('mul', 'int', [I, J]), int(7)), int(3)), dim: 4 }),
    given: { ...qkv({ queries: 1_000_000, dim: 4 }) },
  },
  'another version of program': {
    kind: 'usage',
    says: /not a program of version \d/,
    program: { ...handProgram(), version: 1 as typeof PROGRAM_VERSION },
    given: small,
  },
};

for (const [name, { kind, says, program = handProgram(), given }] of Object.entries(CASES)) {
  test.serial(`${kind}: ${name}`, async (t) => {
    const error = await t.throwsAsync(run(counting.device, program, given));
    t.true(isAttncError(error, kind), String(error?.stack));
    t.regex(error?.message ?? '', says);
    t.notRegex(error?.message ?? '', /\n/);
    await usable(t);
  });
}
