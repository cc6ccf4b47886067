// Where a device's own conversion to f16 is taken for results: only if it rounds as the host does.

import test from 'ava';
import { PRELUDES } from '../../compiler/emit/index.js';
import { compile } from '../../compiler/compile.js';
import { convertsExactly, isExact, roundingProbe } from '../../runtime/direct-outputs.js';
import { f16FromNumber } from '../../runtime/half.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { prepare } from '../../runtime/prepare.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice();
});
test.after.always(() => opened?.close());

const valueOf = (bits: number): number => new Float32Array(Uint32Array.of(bits).buffer)[0];
/** The probe's answers by another conversion. */
const converted = (convert: (x: number, bits: number) => number): Uint16Array =>
  Uint16Array.from(roundingProbe().given, (bits) => convert(valueOf(bits), bits));

test('the probe tells apart conversions that are not quite right', (t) => {
  const probe = roundingProbe();
  t.true(probe.given.length % 4 === 0 && probe.given.length > 4000);
  t.true(isExact(probe, probe.halves));
  t.true(isExact(probe, converted(f16FromNumber)));
  // NaN may have any bits of NaN, and must stay NaN.
  t.true(
    isExact(
      probe,
      converted((x) => (Number.isNaN(x) ? 0x7fff : f16FromNumber(x))),
    ),
  );
  t.false(
    isExact(
      probe,
      converted((x) => (Number.isNaN(x) ? 0x7c00 : f16FromNumber(x))),
    ),
  );
  const size = (x: number): number => Math.abs(x);
  const wrong: Readonly<Record<string, (x: number, bits: number) => number>> = {
    'towards 0': (x, bits) =>
      size(x) < 65504 && size(x) >= 2 ** -14 ? f16FromNumber(valueOf(bits & 0xffffe000)) : f16FromNumber(x),
    'ties away from 0': (x, bits) =>
      (bits & 0x1fff) === 0x1000 && size(x) < 65504 && size(x) >= 2 ** -14
        ? f16FromNumber(valueOf((bits + 1) >>> 0))
        : f16FromNumber(x),
    'no numbers below 2^-14': (x) => (size(x) < 2 ** -14 ? f16FromNumber(0 * x) : f16FromNumber(x)),
    'the largest for what is past the range': (x) =>
      size(x) >= 65520 ? f16FromNumber(Math.sign(x) * 65504) : f16FromNumber(x),
    'ties away from 0 below 2^-14': (x, bits) => {
      const shift = 126 - ((bits >>> 23) & 255);
      if (shift < 14 || shift > 24) return f16FromNumber(x);
      const whole = (bits & 0x7fffff) | 0x800000;
      return ((whole + 2 ** (shift - 1)) >>> shift) | ((bits >>> 16) & 0x8000);
    },
    'no negative zero': (x) => (x === 0 ? 0 : f16FromNumber(x)),
    'twice rounded': (x) => f16FromNumber(Math.fround(x * (1 + 2 ** -12))),
  };
  for (const [name, convert] of Object.entries(wrong)) t.false(isExact(probe, converted(convert)), name);
  t.false(isExact(probe, probe.halves.subarray(1)));
  // Two halves of a word that get in each other's way.
  const words = new Int32Array(probe.halves.slice().buffer);
  const signed = words.map((word) => ((word << 16) >> 16) | (word & ~0xffff));
  t.false(isExact(probe, new Uint16Array(signed.buffer)));
  const swapped = words.map((word) => (word << 16) | (word >>> 16));
  t.false(isExact(probe, new Uint16Array(swapped.buffer)));
});

test.serial('a text that does not round is not taken', async (t) => {
  const direct = PRELUDES.directOutputs!.f16!;
  const truncating = direct.replace(
    'pack2x16float(x.xy), pack2x16float(x.zw)',
    'pack2x16float(x.xy * 0.9999), pack2x16float(x.zw)',
  );
  t.not(truncating, direct);
  const asked = (f16: string | undefined): Promise<boolean> =>
    convertsExactly(opened.device, { preludes: { ...PRELUDES, directOutputs: { f16 } } }, 'f16');
  t.false(await asked(truncating));
  t.false(await asked(undefined));
  t.false(await convertsExactly(opened.device, { preludes: PRELUDES }, 'bf16'));
  // The careful text passes, so that it is the conversion that is looked at.
  t.true(await asked(PRELUDES.outputs.f16));
});

test.serial('a text that does not compile fails with one error, and is asked again', async (t) => {
  const broken = { preludes: { ...PRELUDES, directOutputs: { f16: 'fn write_out(' } } };
  const uncaptured: string[] = [];
  const listen = ({ error }: GPUUncapturedErrorEvent): void => void uncaptured.push(error.message);
  opened.device.addEventListener('uncapturederror', listen);
  for (let n = 0; n < 2; n++) {
    const error = await t.throwsAsync(convertsExactly(opened.device, broken, 'f16'));
    t.regex(error?.message ?? '', /asking how the device rounds/);
  }
  opened.device.removeEventListener('uncapturederror', listen);
  t.deepEqual(uncaptured, []);
});

test.serial('a device is asked once', async (t) => {
  const { device } = opened;
  let modules = 0;
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = (descriptor) => {
    modules++;
    return create(descriptor);
  };
  // Another text than that of the other tests, so that nothing is known of it.
  const f16 = `${PRELUDES.directOutputs!.f16!}\n// once`;
  const program = { preludes: { ...PRELUDES, directOutputs: { f16 } } };
  try {
    const ask = (): Promise<boolean> => convertsExactly(device, program, 'f16');
    const answers = [...(await Promise.all([ask(), ask()])), await ask()];
    t.is(new Set(answers).size, 1);
    t.is(modules, 1);
  } finally {
    device.createShaderModule = create;
  }
});

test.serial('kernels are compiled with the text that the answer asks for', async (t) => {
  const program = compile('pattern p { i -> j when j <= i }').program!;
  const codes: string[] = [];
  const { device } = opened;
  const exact = await convertsExactly(device, program, 'f16');
  t.log(`the device's own conversion is ${exact ? '' : 'not '}taken`);
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = (descriptor) => {
    codes.push(descriptor.code);
    return create(descriptor);
  };
  try {
    await prepare(device, program, { inputs: ['f16'], outputs: ['f16', 'bf16'] });
  } finally {
    device.createShaderModule = create;
  }
  const writing = codes.filter((c) => c.includes('write_out('));
  const direct = PRELUDES.directOutputs!.f16!;
  t.true(writing.length > 1);
  t.is(
    writing.some((c) => c.startsWith(direct) || c.includes(`\n${direct}`)),
    exact,
  );
  t.is(
    writing.some((c) => c.includes(PRELUDES.outputs.f16)),
    !exact,
  );
  t.true(writing.some((c) => c.includes(PRELUDES.outputs.bf16)));
});
