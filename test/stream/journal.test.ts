// Journals: what they hold, torn and damaged ones, and that a run goes on only as what it was.

import { appendFile, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { AttncError, isAttncError } from '../../runtime/errors.js';
import { hashText, type RunIdentity } from '../../runtime/stream/journal.js';
import { journaledSink, type Journal } from '../../runtime/stream/journaled-sink.js';
import { journalFile, type JournalFile } from '../../runtime/stream/node/journal-file.js';
import { isUnfinished, resumableChecksum, resumableFile } from '../../runtime/stream/node/resume.js';
import type { BandResult, RowSink } from '../../runtime/stream/rows.js';
import { withFolder } from './folder.js';
import { bandsOf, results, tensorsOf, writeBand, type Shape } from './results.js';
import { writeTensors } from '../../runtime/files/node.js';

const SHAPE: Shape = [1, 2, 60, 16];
const BANDS = bandsOf(SHAPE, 20);

const IDENTITY: RunIdentity = {
  program: 'abc',
  variant: 'portable, tiles 64 × 64',
  device: { name: 'llvmpipe', driver: 'Mesa 25.0.7' },
  storage: { input: 'f16', output: 'f32' },
  shapes: { q: [1, 2, 60, 16], k: [1, 2, 60, 16], v: [1, 2, 60, 16] },
  parameters: { window: 32 },
  tables: { doc: 'd0c' },
  sources: {
    q: { kind: 'random', seed: 1, tensor: 'q' },
    k: { kind: 'random', seed: 1, tensor: 'k' },
    v: { kind: 'file', path: 'v.npy', tensor: undefined, size: 2048, modified: '17' },
  },
};

const RESULTS: readonly BandResult[] = BANDS.map(({ batch, head, lo }, n) => ({
  sum: n.toString(16).padStart(16, 'a'),
  kept:
    n % 2 === 0
      ? []
      : [
          { batch, head, row: lo + 3, out: Uint8Array.of(1, 2, n, 255), lse: -Infinity },
          { batch, head, row: lo + 4, out: Uint8Array.of(0, 0, 0, 0), lse: Math.fround(0.1) },
        ],
}));

const opening = (
  path: string,
  resume: boolean,
  identity: unknown = IDENTITY,
  bands = BANDS,
): Promise<JournalFile> => journalFile(path, { identity, bands, resume, file: 'out.npy' });

async function begun(path: string, results: readonly BandResult[]): Promise<void> {
  const journal = await opening(path, false);
  for (const r of results) await journal.append([r]);
  await journal.close();
}

test('a journal tells what was finished, with the rows that were kept', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'j');
    const first = await opening(path, false);
    t.deepEqual(first.done, []);
    await first.append(RESULTS.slice(0, 1));
    await first.append(RESULTS.slice(1, 4));
    await first.append([]);
    await first.close();
    const second = await opening(path, true);
    t.deepEqual(
      second.done,
      RESULTS.slice(0, 4).map((r, n) => ({ ...BANDS[n], ...r })),
    );
    await second.append(RESULTS.slice(4));
    await second.close();
    const third = await opening(path, true);
    t.is(third.done.length, BANDS.length);
    await third.remove();
    await third.close();
    t.deepEqual(await readdir(folder), []);
  });
});

test('a last line that was cut short is left out, wherever it was cut', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'j');
    await begun(path, RESULTS.slice(0, 4));
    const whole = await readFile(path);
    const lines = whole.toString().split('\n');
    const lastLine = lines[4].length + 1;
    for (let cut = 1; cut <= lastLine; cut += cut < 5 || cut > lastLine - 3 ? 1 : 17) {
      await writeFile(path, whole);
      await truncate(path, whole.length - cut);
      const journal = await opening(path, true);
      t.is(journal.done.length, 3, `${cut} bytes fewer`);
      await journal.append([RESULTS[3]]);
      await journal.close();
      t.true((await readFile(path)).equals(whole));
    }
    for (const torn of ['\0\0\0\0', '{"band":4,"su', '{"band":4}\n', 'x\n', '\n']) {
      await writeFile(path, whole);
      await appendFile(path, torn);
      const journal = await opening(path, true);
      t.is(journal.done.length, 4, JSON.stringify(torn));
      await journal.close();
      t.true((await readFile(path)).equals(whole));
    }
  });
});

type Edit = (text: string) => string;

const DAMAGED: readonly (readonly [string, Edit, RegExp])[] = [
  [
    'empty',
    () => '',
    /out\.npy cannot be resumed: its journal .* has no readable first line; remove what it left/,
  ],
  ['a torn first line', (x) => x.slice(0, 50), /no readable first line/],
  ['something else', () => '{}\n', /it is not a journal of attnc/],
  ['another version', (x) => x.replace('"version":1', '"version":2'), /version was 2, is 1/],
  ['a line in the middle', (x) => x.replace('{"band":1,', '{"band":1;'), /line 3 is damaged/],
  ['a line too many', (x) => x.replace(/(\n\{"band":1,.*)/, '$1$1'), /line 4 is damaged/],
  ['a line less', (x) => x.replace(/\n\{"band":1,.*/, ''), /line 3 is damaged/],
  ['a wrong sum', (x) => x.replace('"sum":"aaaaaaaaaaaaaaa1"', '"sum":"aa"'), /line 3 is damaged/],
  ['a wrong row', (x) => x.replace('"lse":"000080ff"', '"lse":"0000"'), /line 3 is damaged/],
];

test('a damaged journal is not followed', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'j');
    await begun(path, RESULTS.slice(0, 4));
    const text = await readFile(path, 'utf8');
    for (const [name, edit, message] of DAMAGED) {
      const edited = edit(text);
      t.not(edited, text, name);
      await writeFile(path, edited);
      await t.throwsAsync(opening(path, true), { instanceOf: AttncError, message }, name);
      t.is(await readFile(path, 'utf8'), edited, 'and not touched');
    }
    await rm(path);
    await t.throwsAsync(opening(path, true), {
      instanceOf: AttncError,
      message:
        /out\.npy cannot be resumed: there is no journal .*; remove what it left \(.part, .journal\) to begin anew/,
    });
  });
});

const OTHERS: readonly (readonly [Partial<RunIdentity>, string])[] = [
  [{ program: 'abd' }, "program was 'abc', is 'abd'"],
  [
    { device: { name: 'SwiftShader', driver: 'Mesa 25.0.7' } },
    "device.name was 'llvmpipe', is 'SwiftShader'",
  ],
  [{ parameters: { window: 64 } }, 'parameters.window was 32, is 64'],
  [{ parameters: {} }, 'parameters.window was 32, is not there'],
  [{ tables: { doc: 'd0c', slopes: 's' } }, "tables.slopes was not there, is 's'"],
  [{ storage: { input: 'f16', output: 'f16' } }, "storage.output was 'f32', is 'f16'"],
  [
    { sources: { ...IDENTITY.sources, q: { kind: 'random', seed: 2, tensor: 'q' } } },
    'sources.q.seed was 1, is 2',
  ],
  [
    {
      sources: {
        ...IDENTITY.sources,
        v: { kind: 'file', path: 'v.npy', tensor: undefined, size: 2050, modified: '18' },
      },
    },
    "sources.v.size was 2048, is 2050; sources.v.modified was '17', is '18'",
  ],
  [{ lengths: { keys: [50] } }, "lengths was not there, is {'keys':[50]}"],
  [
    {
      program: 'x',
      variant: 'y',
      parameters: { window: 1 },
      tables: {},
      shapes: { ...IDENTITY.shapes, q: [1] },
    },
    "program was 'abc', is 'x'; variant was 'portable, tiles 64 × 64', is 'y'; shapes.q was [1,2,60,16], is [1]; " +
      'parameters.window was 32, is 1; and 1 more',
  ],
];

test('a run goes on only as what it was', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'j');
    await begun(path, RESULTS.slice(0, 2));
    for (const [change, what] of OTHERS) {
      const error = await t.throwsAsync(opening(path, true, { ...IDENTITY, ...change }), {
        instanceOf: AttncError,
      });
      t.is(error?.kind, 'cannot-resume');
      t.is(
        error?.message,
        `out.npy cannot be resumed: it was begun by another run: ${what}; remove what it left (.part, .journal) to begin anew`,
      );
    }
    const bands = await t.throwsAsync(opening(path, true, IDENTITY, bandsOf(SHAPE, 30)), {
      instanceOf: AttncError,
    });
    t.regex(bands?.message ?? '', /bands\.count was 6, is 4; bands\.hash was/);
    const same = await opening(path, true, JSON.parse(JSON.stringify(IDENTITY)));
    t.is(same.done.length, 2);
    await same.close();
  });
});

test('hashes of programs and tables are SHA-256', async (t) => {
  t.is(await hashText('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});

/** A sink and a journal that write down what is asked of them; bands end when they are told to. */
function recording(): {
  readonly sink: RowSink;
  readonly journal: Journal;
  readonly calls: string[];
  readonly end: Map<number, (error?: Error) => void>;
} {
  const calls: string[] = [];
  const end = new Map<number, (error?: Error) => void>();
  const call = async (name: string): Promise<void> => void calls.push(name);
  const sink: RowSink = {
    write: (_, __, lo) =>
      new Promise((resolve, reject) => {
        end.set(lo, (error) => (error ? reject(error) : resolve({ sum: String(lo), kept: [] })));
      }),
    sync: () => call('sync'),
    finish: async () => {
      calls.push('finish');
      return { sum: 'all', rows: 0, kept: [], file: undefined };
    },
    close: () => call('close sink'),
  };
  const journal: Journal = {
    append: (r) => call(`append ${r.map((x) => x.sum).join()}`),
    remove: () => call('remove'),
    close: () => call('close journal'),
  };
  return { sink, journal, calls, end };
}

const write = (sink: RowSink, lo: number): Promise<BandResult> =>
  sink.write(0, 0, lo, lo + 1, new Uint8Array(0), new Float32Array(0));

test('bands are noted when they are safe and all before them are', async (t) => {
  const { sink, journal, calls, end } = recording();
  const journaled = journaledSink(sink, journal, { interval: 0 });
  const bands = [0, 1, 2, 3].map((lo) => write(journaled, lo));
  end.get(1)!();
  await bands[1];
  t.deepEqual(calls, []);
  end.get(0)!();
  await bands[0];
  t.deepEqual(calls, ['sync', 'append 0,1']);
  end.get(3)!();
  await bands[3];
  end.get(2)!();
  await bands[2];
  t.deepEqual(calls.splice(0), ['sync', 'append 0,1', 'sync', 'append 2,3']);
  t.is((await journaled.finish()).sum, 'all');
  await journaled.close();
  t.deepEqual(calls, ['finish', 'remove', 'close sink', 'close journal']);
});

test('between checkpoints nothing is synced, at the end all is', async (t) => {
  const { sink, journal, calls, end } = recording();
  const journaled = journaledSink(sink, journal, { interval: 3_600_000 });
  for (const lo of [0, 1, 2]) {
    const band = write(journaled, lo);
    end.get(lo)!();
    await band;
  }
  t.deepEqual(calls, []);
  const failing = write(journaled, 3);
  end.get(3)!(new Error('no space'));
  await t.throwsAsync(failing, { message: 'no space' });
  await journaled.close();
  // Without finish: what was done is noted, nothing is removed.
  t.deepEqual(calls, ['sync', 'append 0,1,2', 'close sink', 'close journal']);
});

test('a result in a file is resumed to the byte', async (t) => {
  await withFolder(async (folder) => {
    const of = results('f16', SHAPE);
    const expected = join(folder, 'expected.safetensors');
    await writeTensors(expected, await tensorsOf(of));
    const path = join(folder, 'a.safetensors');
    const keep = [
      { batch: 0, head: 0, row: 7 },
      { batch: 0, head: 1, row: 59 },
    ];
    const options = { identity: IDENTITY, bands: BANDS, dtype: 'f16', shape: SHAPE, keep };
    const whole = await resumableChecksum(join(folder, 'c'), { ...options, resume: false });
    for (const band of BANDS) await writeBand(whole.sink, of, band);
    const { sum, kept } = await whole.sink.finish();
    for (let stop = 0; stop <= BANDS.length; stop++) {
      t.false(await isUnfinished(path));
      const first = await resumableFile(path, { ...options, resume: false });
      t.is(first.first, 0);
      for (const band of BANDS.slice(0, stop)) await writeBand(first.sink, of, band);
      await first.sink.close();
      t.true(await isUnfinished(path));
      const second = await resumableFile(path, { ...options, resume: true });
      t.is(second.first, stop);
      for (const band of BANDS.slice(stop)) await writeBand(second.sink, of, band);
      const summary = await second.sink.finish();
      await second.sink.close();
      t.is(summary.sum, sum);
      t.deepEqual(summary.kept, kept);
      t.true((await readFile(path)).equals(await readFile(expected)), `stopped at ${stop}`);
      t.deepEqual((await readdir(folder)).sort(), ['a.safetensors', 'expected.safetensors']);
      await rm(path);
    }
  });
});

test('a .npy file has no lse, and is read again all the same before its run goes on', async (t) => {
  await withFolder(async (folder) => {
    const of = results('f16', SHAPE);
    const path = join(folder, 'a.npy');
    const options = { identity: IDENTITY, bands: BANDS, dtype: 'f16', shape: SHAPE };
    const first = await resumableFile(path, { ...options, resume: false });
    for (const band of BANDS.slice(0, 3)) await writeBand(first.sink, of, band);
    await first.sink.close();
    const part = `${path}.part`;
    const good = await readFile(part);
    const bad = Uint8Array.from(good);
    bad[good.length - SHAPE[2] * 32 - 1] ^= 1;
    await writeFile(part, bad);
    await t.throwsAsync(resumableFile(path, { ...options, resume: true }), {
      message: /band 2 of .*a\.npy\.part is no longer what was written/,
    });
    await writeFile(part, good);
    const second = await resumableFile(path, { ...options, resume: true });
    t.is(second.first, 3);
    await second.sink.close();
  });
});

test('a run that ended between the last name of the file and the end of its journal', async (t) => {
  await withFolder(async (folder) => {
    const of = results('f32', SHAPE);
    const path = join(folder, 'a.safetensors');
    const journal = join(folder, 'a.safetensors.part.journal');
    const options = { identity: IDENTITY, bands: BANDS, dtype: 'f32', shape: SHAPE };
    const first = await resumableFile(path, { ...options, resume: false });
    for (const band of BANDS) await writeBand(first.sink, of, band);
    await first.sink.sync();
    const text = await readFile(journal);
    await first.sink.finish();
    const bytes = await readFile(path);
    await writeFile(journal, text);
    const second = await resumableFile(path, { ...options, resume: true });
    t.is(second.first, BANDS.length);
    await second.sink.finish();
    t.true((await readFile(path)).equals(bytes));
    t.deepEqual(await readdir(folder), ['a.safetensors']);
  });
});

test('a checksum is resumed with the rows that were kept', async (t) => {
  await withFolder(async (folder) => {
    const of = results('bf16', SHAPE);
    const path = join(folder, 'run.journal');
    const keep = [5, 25, 45].map((row) => ({ batch: 0, head: 1, row }));
    const options = { identity: IDENTITY, bands: BANDS, dtype: 'bf16', shape: SHAPE, keep };
    const whole = await resumableChecksum(join(folder, 'w'), { ...options, resume: false });
    for (const band of BANDS) await writeBand(whole.sink, of, band);
    const expected = await whole.sink.finish();
    const first = await resumableChecksum(path, { ...options, resume: false });
    for (const band of BANDS.slice(0, 5)) await writeBand(first.sink, of, band);
    await first.sink.close();
    const others = await t.throwsAsync(
      resumableChecksum(path, { ...options, keep: keep.slice(1), resume: true }),
    );
    t.true(isAttncError(others, 'cannot-resume'));
    const second = await resumableChecksum(path, { ...options, resume: true });
    t.is(second.first, 5);
    await writeBand(second.sink, of, BANDS[5]);
    t.deepEqual(await second.sink.finish(), expected);
    t.is(expected.kept.length, 3);
  });
});
