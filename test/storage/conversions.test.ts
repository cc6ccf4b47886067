// The conversions of the preludes on a device, bit by bit, against those of the host.

import test from 'ava';
import { PRELUDES } from '../../compiler/emit/index.js';
import type { StorageType } from '../../compiler/ir/program.js';
import { convertsExactly } from '../../runtime/direct-outputs.js';
import { bf16FromNumber, bf16ToNumber, f16FromNumber, f16ToNumber } from '../../runtime/half.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { runCompute } from '../devices/run-compute.js';
import { generator } from '../runtime/data.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice();
});
test.after.always(() => opened?.close());

type Half = Exclude<StorageType, 'f32'>;

const HOST: Readonly<Record<Half, { from: (x: number) => number; to: (bits: number) => number }>> = {
  f16: { from: f16FromNumber, to: f16ToNumber },
  bf16: { from: bf16FromNumber, to: bf16ToNumber },
};
/** Bits of infinity, past which there is NaN. */
const INFINITY: Readonly<Record<Half, number>> = { f16: 0x7c00, bf16: 0x7f80 };

/** Runs `main` on as many threads as there are quads, with words in and words out. */
async function onDevice(
  prelude: string,
  types: readonly [given: string, made: string],
  statement: string,
  words: Uint32Array<ArrayBuffer>,
  wordsOut: number,
  quads: number,
): Promise<Uint32Array> {
  const code = `${prelude}
    @group(0) @binding(0) var<storage, read> given: array<${types[0]}>;
    @group(0) @binding(1) var<storage, read_write> made: array<${types[1]}>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
      if (id.x < ${quads}u) { ${statement} }
    }`;
  const inputs = [new Float32Array(words.buffer)];
  const out = await runCompute(opened.device, code, inputs, wordsOut, Math.ceil(quads / 64));
  return new Uint32Array(out.buffer);
}

const halvesOf = (words: Uint32Array): Uint16Array => new Uint16Array(words.buffer);

/** Whole quads: zeros at the end. */
const padded = (bits: readonly number[]): Uint32Array<ArrayBuffer> =>
  Uint32Array.from([...bits, ...new Array<number>((4 - (bits.length % 4)) % 4).fill(0)]);

const bitsOf = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0];
const valueOf = (bits: number): number => new Float32Array(Uint32Array.of(bits).buffer)[0];

/**
 * Around every number of the type, of both signs: itself, the float32 next to it, half way to the next one and the
 * float32s next to that; then what is special, and bits drawn evenly.
 */
function valuesFor(type: Half): Uint32Array<ArrayBuffer> {
  const found: number[] = [];
  const { to } = HOST[type];
  for (let half = 0; half < INFINITY[type]; half++) {
    const here = bitsOf(to(half));
    // Past the largest number the steps go on as if there were one more.
    const next =
      half + 1 < INFINITY[type] ? bitsOf(to(half + 1)) : type === 'f16' ? bitsOf(65536) : 0x7f800000;
    // The mean of two neighbours is a float32 wherever the type has fewer bits.
    const middle = here + Math.floor((next - here) / 2);
    const tie = type === 'f16' ? bitsOf((valueOf(here) + valueOf(next)) / 2) : middle;
    for (const bits of [here, here + 1, tie - 1, tie, tie + 1, next - 1]) found.push(bits, bits | 0x80000000);
  }
  const special = [
    0, 1, 0x7fffff, 0x800000, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fc00000, 0x7fffffff,
  ];
  for (const bits of special) found.push(bits, bits | 0x80000000);
  for (const x of [
    65503.99,
    65504,
    65505,
    65519.996,
    65520,
    65520.004,
    65535,
    65536,
    1e6,
    3e38,
    2 ** -24,
    2 ** -25,
    2 ** -26,
  ]) {
    found.push(bitsOf(x), bitsOf(-x));
  }
  const next = generator(7);
  for (let n = 0; n < 100_000; n++) found.push(Math.floor(next() * 2 ** 32));
  return padded(found.map((bits) => bits >>> 0));
}

for (const type of ['f16', 'bf16'] as const) {
  test.serial(`write_out rounds to ${type} as the host does`, async (t) => {
    const values = valuesFor(type);
    const quads = values.length / 4;
    const statement = 'made[id.x] = write_out(bitcast<vec4<f32>>(given[id.x]));';
    // The device's own conversion, where the few numbers that it is asked for say that it will do.
    const direct = await convertsExactly(opened.device, { preludes: PRELUDES }, type);
    for (const prelude of [
      PRELUDES.outputs[type],
      ...(direct ? [PRELUDES.directOutputs?.[type] ?? ''] : []),
    ]) {
      const words = await onDevice(prelude, ['vec4<u32>', 'OutQuad'], statement, values, 2 * quads, quads);
      const wrong: string[] = [];
      halvesOf(words).forEach((got, n) => {
        const x = valueOf(values[n]);
        const right = Number.isNaN(x) ? (got & 0x7fff) > INFINITY[type] : got === HOST[type].from(x);
        if (!right) wrong.push(`0x${values[n].toString(16)} = ${x} gives 0x${got.toString(16)}`);
      });
      t.deepEqual(wrong.slice(0, 10), []);
    }
    t.log(`${values.length} values${direct ? ', by the device itself too' : ''}`);
    t.true(values.length > 400_000);
  });

  test.serial(`read_quad and read_out widen every ${type} exactly`, async (t) => {
    const halves = Uint16Array.from({ length: 65536 }, (_, n) => n);
    for (const [prelude, quad, read] of [
      [PRELUDES.inputs[type], 'Quad', 'read_quad'],
      [PRELUDES.outputs[type], 'OutQuad', 'read_out'],
    ]) {
      const statement = `made[id.x] = bitcast<vec4<u32>>(${read}(given[id.x]));`;
      const words = new Uint32Array(halves.buffer.slice(0));
      const made = await onDevice(prelude, [quad, 'vec4<u32>'], statement, words, 65536, 16384);
      const wrong: string[] = [];
      made.forEach((bits, n) => {
        const x = HOST[type].to(n);
        const right = Number.isNaN(x) ? (bits & 0x7fffffff) > 0x7f800000 : bits === bitsOf(x);
        if (!right) wrong.push(`0x${n.toString(16)} = ${x} gives 0x${bits.toString(16)}`);
      });
      t.deepEqual(wrong.slice(0, 10), [], read);
    }
  });
}
