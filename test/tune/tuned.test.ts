// Tuned choices as data and in files: keys, round trips, broken files, and which variant they pick.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { compile } from '../../compiler/index.js';
import { packProgram, unpackProgram } from '../../compiler/ir/pack.js';
import type { Program, StorageTypes } from '../../compiler/ir/program.js';
import { bind } from '../../runtime/bind.js';
import { isAttncError } from '../../runtime/errors.js';
import { run } from '../../runtime/index.js';
import { candidates } from '../../runtime/pick-variant.js';
import { loadTuned, openDevice, saveTuned, tunedFile, type OpenedDevice } from '../../runtime/node/index.js';
import { choose } from '../../runtime/prepare.js';
import { compare, reference } from '../../runtime/reference/index.js';
import {
  choiceOf,
  fingerprint,
  nearestPower,
  NOTHING_TUNED,
  tunedKey,
  withChoice,
  type TunedChoice,
} from '../../runtime/tuned.js';
import { qkv } from '../runtime/data.js';

let opened: OpenedDevice;
let folder: string;
test.before(async () => {
  opened = await openDevice({ features: 'offered', limits: 'offered' });
  folder = mkdtempSync(join(tmpdir(), 'attnc-tuned-'));
});
test.after.always(() => {
  opened?.close();
  rmSync(folder, { recursive: true, force: true });
});

const compiled = (text: string): Program => {
  const { program } = compile({ file: 'test.attn', text }, { dim: 16 });
  if (program === undefined) throw new Error(text);
  return program;
};

const WINDOW = compiled('pattern p(w: int = 3) { i -> j when abs(i - j) <= w }');
const F32: StorageTypes = { input: 'f32', output: 'f32' };

interface Size {
  readonly length?: number;
  readonly heads?: number;
  readonly keyHeads?: number;
  readonly batch?: number;
  readonly w?: number;
}

function keyOf(size: Size = {}, types = F32, program = WINDOW, device = opened.device): string {
  const { length = 100, heads = 2, keyHeads = heads, batch = 1, w = 3 } = size;
  const k = [batch, keyHeads, length, 16];
  const bound = bind(program, { q: [batch, heads, length, 16], k, v: k }, { parameters: { w } });
  return tunedKey(program, device, types, bound.binding.shape);
}

const KEYS: readonly (readonly [name: string, same: boolean, key: () => string])[] = [
  ['as it is', true, () => keyOf()],
  ['a length that rounds to the same power', true, () => keyOf({ length: 140 })],
  ['a length of another power', false, () => keyOf({ length: 200 })],
  ['as many heads, in two batches', true, () => keyOf({ heads: 1, batch: 2 })],
  ['more heads', false, () => keyOf({ heads: 4 })],
  ['shared key heads', false, () => keyOf({ keyHeads: 1 })],
  ['another window', false, () => keyOf({ w: 4 })],
  ['another type', false, () => keyOf({}, { input: 'f16', output: 'f32' })],
  ['another type of out', false, () => keyOf({}, { input: 'f32', output: 'f16' })],
  ['the program, packed and unpacked', true, () => keyOf({}, F32, unpackProgram(packProgram(WINDOW)))],
  [
    'another program',
    false,
    () => keyOf({}, F32, compiled('pattern p(w: int = 3) { i -> j when abs(i - j) < w }')),
  ],
  [
    'another driver',
    false,
    () => {
      const info = { vendor: 'google', architecture: '', device: 'x', description: 'driver 2' };
      return keyOf({}, F32, WINDOW, { adapterInfo: info } as unknown as GPUDevice);
    },
  ],
];

for (const [name, same, key] of KEYS) {
  test.serial(`key: ${name}`, (t) => {
    if (same) t.is(key(), keyOf());
    else t.not(key(), keyOf());
  });
}

test('powers and fingerprints', (t) => {
  t.deepEqual([0, 1, 5, 6, 64, 90, 91, 65536].map(nearestPower), [0, 1, 4, 8, 64, 64, 128, 65536]);
  t.regex(fingerprint(WINDOW), /^[0-9a-f]{16}$/);
  // Kernels may be printed anew without a choice being lost.
  t.is(fingerprint({ ...WINDOW, variants: [] }), fingerprint(WINDOW));
  t.not(fingerprint({ ...WINDOW, dim: 32 }), fingerprint(WINDOW));
});

const CHOICE: TunedChoice = { schedule: 'rows', family: 'portable', tiling: '64 queries', milliseconds: 1.5 };

test('files: round trip, another choice, no file', async (t) => {
  const file = join(folder, 'new', 'folder', 'tuned.json');
  const never = (): void => t.fail();
  t.deepEqual(await loadTuned(file, never), NOTHING_TUNED);
  const one = withChoice(NOTHING_TUNED, 'a', CHOICE);
  await saveTuned(one, file);
  t.deepEqual(await loadTuned(file, never), one);
  const two = withChoice(withChoice(one, 'b', CHOICE), 'a', { ...CHOICE, milliseconds: 1 });
  await saveTuned(two, file);
  t.deepEqual(await loadTuned(file, never), two);
  t.deepEqual(Object.keys(two.choices), ['a', 'b']);
  // Nothing temporary stays.
  t.deepEqual(readdirSync(join(folder, 'new', 'folder')), ['tuned.json']);
  t.is(tunedFile({ ATTNC_TUNED: file }), file);
  t.regex(tunedFile({}), /attnc\S*[\\/]tuned\.json$/);
});

const BROKEN: readonly (readonly [name: string, text: string, says: RegExp])[] = [
  ['no JSON', '{"format": "attnc-tu', /it is no JSON; it is ignored/],
  ['empty', '', /it is no JSON/],
  ['another format', '{"format": "attnc-program"}', /it holds no tuned choices/],
  ['a list', '[]', /it holds no tuned choices/],
  ['another version', '{"format": "attnc-tuned", "version": 2, "choices": {}}', /version 2/],
  ['no choices', '{"format": "attnc-tuned", "version": 1}', /it has no choices/],
  [
    'half a choice',
    '{"format": "attnc-tuned", "version": 1, "choices": {"a": {"schedule": "rows"}}}',
    /a choice lacks/,
  ],
];

for (const [name, text, says] of BROKEN) {
  test(`broken file: ${name}`, async (t) => {
    const file = join(folder, `${name}.json`);
    writeFileSync(file, text);
    const told: string[] = [];
    t.deepEqual(await loadTuned(file, (m) => told.push(m)), NOTHING_TUNED);
    t.is(told.length, 1);
    t.regex(told[0], says);
    t.true(told[0].startsWith(file));
    t.is(readFileSync(file, 'utf8'), text);
  });
}

test('a file that cannot be written', async (t) => {
  const blocked = join(folder, 'file');
  writeFileSync(blocked, '');
  const error = await t.throwsAsync(saveTuned(NOTHING_TUNED, join(blocked, 'tuned.json')));
  t.true(isAttncError(error, 'file-access'), String(error));
});

test.serial('run takes the tuned choice where it is there and nothing else is asked for', async (t) => {
  const tensors = qkv({ heads: 2, queries: 100 });
  const prepared = choose(opened.device, WINDOW);
  const shapes = { q: tensors.q.shape, k: tensors.k.shape, v: tensors.v.shape };
  const there = candidates(prepared, bind(WINDOW, shapes, {}), F32).map((v) => choiceOf(WINDOW, v));
  t.true(there.length >= 2);
  const [fastest] = there;
  const other = there.find((c) => c.family === 'portable');
  if (other === undefined || other.family === fastest.family) return t.fail();
  const tunedTo = (change: Partial<TunedChoice>) =>
    withChoice(NOTHING_TUNED, keyOf(), { ...other, milliseconds: 1, ...change });
  const expected = reference(WINDOW.pattern, tensors);
  for (const [options, family, tuned] of [
    [{}, fastest.family, false],
    [{ tuned: NOTHING_TUNED }, fastest.family, false],
    [{ tuned: tunedTo({}) }, other.family, true],
    [{ tuned: tunedTo({}), family: fastest.family }, fastest.family, false],
    [{ tuned: tunedTo({ tiling: 'gone' }) }, fastest.family, false],
    [{ tuned: tunedTo({ schedule: 'gone' }) }, fastest.family, false],
    [{ tuned: tunedTo({ family: 'matrix' }) }, fastest.family, false],
    [{ tuned: withChoice(NOTHING_TUNED, 'toString', CHOICE) }, fastest.family, false],
    [{ tiling: other.tiling, family: other.family }, other.family, false],
  ] as const) {
    const { out, lse, stats } = await run(opened.device, prepared, tensors, options);
    t.deepEqual([stats.family, stats.tuned], [family, tuned], JSON.stringify(options));
    t.true(compare({ out: out.data, lse: lse.data }, expected).pass);
  }
  const error = await t.throwsAsync(run(opened.device, prepared, tensors, { tiling: 'cubes' }));
  t.true(isAttncError(error, 'usage'), String(error));
  t.regex(error?.message ?? '', /no kernels with the tiling 'cubes' can run here; there are: \d+ queries/);
});
