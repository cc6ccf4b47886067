// Every pair of storage types through `run` and `encode`, against the oracle on the same numbers.

import test from 'ava';
import { STORAGE_TYPES, type Family, type StorageType } from '../../compiler/ir/program.js';
import { bf16FromNumber, bf16ToNumber, f16FromNumber, f16ToNumber } from '../../runtime/half.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { run, type HostTensors, type Settings } from '../../runtime/index.js';
import { compare, reference, TOLERANCES, type Reference } from '../../runtime/reference/index.js';
import { choose } from '../../runtime/prepare.js';
import { takes } from '../../runtime/storage.js';
import { fromNumbers, toFloat32 } from '../../runtime/tensor.js';
import { FULL } from '../differential/settings.js';
import { CASES, type Case } from '../emit/patterns.js';
import { programFor } from '../emit/programs.js';
import { qkv, type Qkv, type Sizes } from '../runtime/data.js';
import { encoded, LAYOUTS, type FloatTensor } from '../runtime/lend.js';

/** A device without optional features, and one with all that there are. */
let opened: OpenedDevice;
let offered: OpenedDevice;
test.before(async () => {
  opened = await openDevice();
  offered = await openDevice({ features: 'offered', limits: 'offered' });
});
test.after.always(() => {
  opened?.close();
  offered?.close();
});

const caseOf = (name: string): Case => {
  const found = CASES.find((c) => c.pattern.name === name);
  if (!found) throw new Error(`no case ${name}`);
  return found;
};

function stored<T extends Qkv>(tensors: T, type: StorageType): Record<'q' | 'k' | 'v', FloatTensor> {
  const one = (t: Qkv['q']): FloatTensor => fromNumbers(type, t.shape, t.data) as FloatTensor;
  return { q: one(tensors.q), k: one(tensors.k), v: one(tensors.v) };
}

const FAMILIES: readonly Family[] = ['portable', 'subgroup', 'matrix'];

/** Relative, of one rounding to the type. */
const ROUNDING: Readonly<Record<StorageType, number>> = { f32: 0, f16: 2 ** -11, bf16: 2 ** -8 };

interface Row {
  readonly pattern: string;
  readonly size: Sizes;
  readonly dims?: readonly [number, number];
  readonly decode?: boolean;
}

/** Tiles, passes that merge, gathers, keys in parts, sinks over all of them. */
const ROWS: readonly Row[] = [
  { pattern: 'window', size: { batch: 2, heads: 2, keyHeads: 1, queries: 70, keys: 130 } },
  { pattern: 'longnet of odd rates', size: { heads: 2, queries: 130 }, dims: [24, 72] },
  { pattern: 'sink over passes', size: { heads: 2, queries: 70 }, dims: [72, 24] },
  { pattern: 'sink over passes', size: { heads: 2, queries: 5, keys: 300 }, decode: true },
  { pattern: 'graph', size: { heads: 2, queries: 70 } },
  { pattern: 'alibi', size: { heads: 2, queries: 17, keys: 600 }, decode: true },
];

/** Of out: CPUs take seconds for a kernel, so each row has three of the nine pairs, in turn; ATTNC_FULL=1 all. */
const outputsFor = (row: number, input: StorageType): readonly StorageType[] =>
  FULL ? STORAGE_TYPES : [STORAGE_TYPES[(STORAGE_TYPES.indexOf(input) + row) % STORAGE_TYPES.length]];

for (const [row, { pattern: name, size, dims = [16, 16], decode }] of ROWS.entries()) {
  const { pattern, settings } = caseOf(name);
  const program = programFor(pattern, ...dims);
  const tokens = size.keys ?? size.queries;
  const given: Settings = settings?.(tokens, size.heads ?? 1) ?? {};
  const all = qkv({ ...size, dim: dims[0], valueDim: dims[1] });

  for (const input of STORAGE_TYPES) {
    test.serial(`${name}, ${size.queries} queries, ${decode ? 'keys in parts, ' : ''}${input}`, async (t) => {
      const tensors: HostTensors = { ...stored(all, input), ...given };
      const expected = reference(pattern, tensors);
      const { variants } = choose(offered.device, program);
      const ran = new Set<Family>();
      for (const output of outputsFor(row, input)) {
        const able = variants.filter((v) => takes(v, { input, output })).map((v) => v.family);
        for (const family of FAMILIES.filter((f) => able.includes(f))) {
          const options = { out: output, decode, family };
          const { out, lse, stats } = await run(offered.device, program, tensors, options);
          ran.add(family);
          t.is(out.dtype, output);
          t.deepEqual([stats.input, stats.output, stats.family], [input, output, family]);
          t.true(stats.uploadedBytes >= bytesOf(tensors));
          // All but matrices compute in f32 on the very numbers that are stored: only out's own rounding is allowed.
          const types = { input: family === 'matrix' ? input : 'f32', output } as const;
          const c = compare({ out: toFloat32(out), lse: lse.data }, expected, types);
          const what = `${family}, ${input} to ${output}`;
          t.true(c.pass, `${what}: ${JSON.stringify(c)}`);
          const roundings = program.schedules[0].passes.length + 1;
          const most = TOLERANCES[types.input].out + roundings * ROUNDING[output];
          t.true(c.whole.error <= most, `${what}: ${c.whole.error}`);
        }
      }
      t.true(ran.has('portable'));
      t.log([...ran].join(', '));
    });
  }
}

const bytesOf = ({ q, k, v }: HostTensors): number =>
  q.data.byteLength + k.data.byteLength + v.data.byteLength;

test.serial('tensors are uploaded as they are; mixed types are widened', async (t) => {
  const program = programFor(caseOf('window').pattern);
  const all = qkv({ heads: 2, queries: 64 });
  const [f32, f16, bf16] = STORAGE_TYPES.map((type) => stored(all, type));
  const small = (await run(opened.device, program, f16)).stats;
  const large = (await run(opened.device, program, f32)).stats;
  // out and lse are f32 in both.
  t.is(large.uploadedBytes - small.uploadedBytes, bytesOf(f32) / 2);
  const mixed = { q: f16.q, k: bf16.k, v: f32.v };
  const { out, lse, stats } = await run(opened.device, program, mixed);
  t.is(stats.input, 'f32');
  t.is(stats.uploadedBytes, large.uploadedBytes);
  const c = compare({ out: out.data, lse: lse.data }, reference(program.pattern, mixed));
  t.true(c.pass, JSON.stringify(c));
  const again = await run(opened.device, program, mixed, { out: 'f16' });
  t.deepEqual(Array.from(again.out.data), Array.from(out.data, f16FromNumber));
});

for (const [name, layout] of Object.entries(LAYOUTS)) {
  test.serial(`lent buffers of every pair of types: ${name}`, async (t) => {
    const program = programFor(caseOf('window').pattern);
    const all = qkv({ batch: 2, heads: 2, queries: 20 });
    for (const input of STORAGE_TYPES) {
      const tensors = stored(all, input);
      const expected = reference(program.pattern, tensors);
      for (const output of STORAGE_TYPES) {
        const result = await encoded(opened.device, program, tensors, { layout, out: output });
        const c = compare(result, expected, { input: 'f32', output });
        t.true(c.pass, `${input} to ${output}: ${JSON.stringify(c)}`);
      }
    }
  });
}

/** One dominant key: out is its value, of any size. */
function oneKeyOf(values: readonly number[]): {
  readonly tensors: HostTensors;
  readonly expected: Reference;
} {
  const tensors: HostTensors = {
    q: fromNumbers('f32', [1, 1, 1, 16], new Float32Array(16)),
    k: fromNumbers('f32', [1, 1, 1, 16], new Float32Array(16)),
    v: fromNumbers('f32', [1, 1, 1, 16], values),
  };
  return { tensors, expected: reference(caseOf('dense').pattern, tensors) };
}

test.serial(
  'out past the range of f16 is infinity, and what is small is rounded as the host does',
  async (t) => {
    const values = [
      65504,
      65519,
      65520,
      -65520,
      1e30,
      -1e30,
      2 ** -14,
      2 ** -15 * 1.3,
      2 ** -24,
      2 ** -25,
      0.1,
      -0.3,
      1,
      2,
      3,
      4,
    ];
    const { tensors, expected } = oneKeyOf(values);
    const program = programFor(caseOf('dense').pattern);
    const rounded = {
      f16: (x: number) => f16ToNumber(f16FromNumber(Math.fround(x))),
      bf16: (x: number) => bf16ToNumber(bf16FromNumber(Math.fround(x))),
    };
    for (const output of ['f16', 'bf16'] as const) {
      const { out } = await run(opened.device, program, tensors, { out: output });
      t.deepEqual(Array.from(toFloat32(out)), values.map(rounded[output]), output);
      // The comparison knows: neither the infinities nor the small numbers count as wrong.
      const c = compare({ out: toFloat32(out) }, expected, { input: 'f32', output });
      t.is(c.misplaced, 0);
    }
  },
);

const BAD: readonly (readonly [tensor: 'q' | 'k' | 'v', at: number, value: number])[] = [
  ['q', 16 * 21 + 3, NaN],
  ['k', 16 * 40, NaN],
  ['k', 16 * 99 + 15, NaN],
  ['v', 16 * 70 + 5, -Infinity],
  ['v', 16 * 129 + 8, NaN],
];

for (const name of ['window', 'longnet of odd rates', 'graph']) {
  test.serial(`NaN and infinity reach only the queries with an edge to them: ${name}`, async (t) => {
    const { pattern, settings } = caseOf(name);
    const program = programFor(pattern);
    const given = settings?.(130, 1) ?? {};
    const clean = qkv({ queries: 130 });
    const dirty = qkv({ queries: 130 });
    for (const [tensor, at, value] of BAD) dirty[tensor].data[at] = value;
    for (const [input, output] of [
      ['f16', 'f16'],
      ['bf16', 'bf16'],
      ['f16', 'bf16'],
      ['f32', 'f16'],
    ] as const) {
      const bad = { ...stored(dirty, input), ...given };
      const expected = reference(pattern, bad);
      // `tainted` is about keys and values; the bad query of row 21 reaches its own row.
      const poisoned = Array.from(
        expected.tainted,
        (x, row) => expected.edges[row] > 0 && (x !== 0 || row === 21),
      );
      const count = poisoned.filter(Boolean).length;
      t.true(count > 0 && count < 130, String(count));
      const was = await run(opened.device, program, { ...stored(clean, input), ...given }, { out: output });
      const is = await run(opened.device, program, bad, { out: output });
      const [before, after] = [toFloat32(was.out), toFloat32(is.out)];
      for (let row = 0; row < 130; row++) {
        const range = [16 * row, 16 * row + 16] as const;
        const right = poisoned[row]
          ? after.subarray(...range).every(Number.isNaN) && Number.isNaN(is.lse.data[row])
          : after.subarray(...range).every((x, n) => Object.is(x, before[range[0] + n]));
        t.true(right, `${input} to ${output}: row ${row}, poisoned: ${poisoned[row]}`);
      }
    }
  });
}
