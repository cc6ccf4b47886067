// What needs no ranks: how differences and failures are told, how messages are cut, and which device a rank takes.

import test from 'ava';
import { AttncError, isAttncError, type ErrorKind } from '../../runtime/errors.js';
import { differencesOf, fingerprint, type Facts } from '../../runtime/node/mpi/agree.js';
import { chooseDevice, type RankView } from '../../runtime/node/mpi/device.js';
import { combine } from '../../runtime/node/mpi/guard.js';
import { cut } from '../../runtime/node/mpi/messages.js';
import { ranksText } from '../../runtime/node/mpi/problems.js';

test('ranks in words', (t) => {
  const cases: readonly (readonly [readonly number[], string])[] = [
    [[3], 'rank 3'],
    [[0, 1], 'ranks 0 and 1'],
    [[0, 1, 2], 'ranks 0 to 2'],
    [[0, 2, 4], 'ranks 0, 2 and 4'],
    [[0, 1, 3, 4, 5, 9], 'ranks 0, 1, 3 to 5 and 9'],
    [[0, 2, 4, 6, 8, 10, 12, 14], 'ranks 0, 2, 4, 6, 8 and 3 more'],
  ];
  for (const [ranks, text] of cases) t.is(ranksText(ranks), text);
});

test('what differs between ranks, and where', (t) => {
  const cases: readonly (readonly [readonly Facts[], readonly string[]])[] = [
    [[{ a: '1' }], []],
    [[{ a: '1' }, { a: '1' }], []],
    [
      [
        { a: '1', b: '2' },
        { b: '2', a: '1' },
      ],
      [],
    ],
    [[{ a: '1' }, { a: '2' }, { a: '1' }], ['a is 1 on ranks 0 and 2, 2 on rank 1']],
    [[{}, { a: '2' }], ['a is not given on rank 0, 2 on rank 1']],
    [[{}, { constructor: '2' }], ['constructor is not given on rank 0, 2 on rank 1']],
    [
      [
        { a: '1', b: '1' },
        { a: '2', b: '2' },
      ],
      ['a is 1 on rank 0, 2 on rank 1', 'b is 1 on rank 0, 2 on rank 1'],
    ],
    [
      [0, 1, 2, 3, 4, 5].map((n) => ({ a: `${n}` })),
      ['a is 0 on rank 0, 1 on rank 1, 2 on rank 2, 3 other values elsewhere'],
    ],
    [[{ a: 'x'.repeat(100) }, { a: '' }], [`a is ${'x'.repeat(37)}... on rank 0,  on rank 1`]],
  ];
  for (const [all, expected] of cases) t.deepEqual(differencesOf(all), expected);
  t.is(fingerprint('abc'), 'sha256 ba7816bf8f01cfea');
  t.is(fingerprint(new TextEncoder().encode('abc')), fingerprint('abc'));
});

test('failures of several ranks become one', (t) => {
  const file = new AttncError('file-access', 'q.npy: no such file', { help: 'look' });
  const other = new AttncError('out-of-memory', 'not enough memory');
  const cases: readonly (readonly [readonly (readonly [number, AttncError])[], ErrorKind, string])[] = [
    [[[2, file]], 'file-access', 'rank 2: q.npy: no such file; look'],
    [
      [
        [3, file],
        [1, file],
        [2, file],
      ],
      'file-access',
      'ranks 1 to 3: q.npy: no such file; look',
    ],
    [
      [
        [3, file],
        [1, other],
      ],
      'out-of-memory',
      'rank 1: not enough memory (and 1 other rank failed)',
    ],
    [
      [
        [0, other],
        [1, file],
        [2, file],
      ],
      'out-of-memory',
      'rank 0: not enough memory (and 2 other ranks failed)',
    ],
  ];
  for (const [reports, kind, message] of cases) {
    const error = combine(new Map(reports));
    t.is(error.kind, kind);
    t.is(error.message, message);
  }
});

test('messages are cut into views of the same bytes', (t) => {
  const lengths = (n: number, most: number): number[] => cut(new Uint8Array(n), most).map((p) => p.length);
  t.deepEqual(lengths(0, 10), [0]);
  t.deepEqual(lengths(10, 10), [10]);
  t.deepEqual(lengths(11, 10), [10, 1]);
  t.deepEqual(lengths(30, 10), [10, 10, 10]);
  const bytes = new Uint8Array(new ArrayBuffer(40), 5, 30);
  t.deepEqual(
    cut(bytes, 12).map((p) => [p.buffer === bytes.buffer, p.byteOffset]),
    [
      [true, 5],
      [true, 17],
      [true, 29],
    ],
  );
});

const H200 = 'NVIDIA H200';
const RTX = 'NVIDIA GeForce RTX 4090';

test('the device of a rank', (t) => {
  const view = { localRank: 0, localSize: 1, asked: undefined, gpus: [] };
  const cases: readonly (readonly [Partial<RankView>, device: string | undefined, why: RegExp])[] = [
    [{}, undefined, /no GPU/],
    [{ localSize: 4, localRank: 2 }, undefined, /no GPU/],
    [{ localSize: 4, localRank: 2, asked: 'swiftshader' }, 'swiftshader', /was asked for/],
    // Nothing fits: openDevice says what there is.
    [{ asked: 'gpu' }, 'gpu', /was asked for/],
    [{ asked: 'radeon', gpus: [H200] }, 'radeon', /was asked for/],
    [{ gpus: [H200] }, H200, /one GPU that is seen/],
    [{ gpus: [H200], localSize: 2, localRank: 1 }, H200, /one GPU that is seen/],
    [{ gpus: [H200, H200] }, H200, /one rank on this host/],
    [{ gpus: [H200, RTX], localSize: 2, localRank: 0 }, RTX, /GPU 0 of 2/],
    [{ gpus: [H200, RTX], localSize: 2, localRank: 1 }, H200, /GPU 1 of 2/],
    [{ gpus: [H200, RTX], localSize: 2, localRank: 1, asked: 'gpu' }, H200, /GPU 1 of 2/],
    [{ gpus: [H200, RTX], localSize: 2, localRank: 1, asked: 'nvidia-h200' }, H200, /one GPU that is seen/],
  ];
  for (const [part, device, why] of cases) {
    const chosen = chooseDevice({ ...view, ...part });
    t.is(chosen.device, device, JSON.stringify(part));
    t.regex(chosen.why, why);
  }
  const refused: readonly (readonly [Partial<RankView>, RegExp])[] = [
    [{ gpus: [H200, H200], localSize: 2 }, /cannot tell those of one name apart .*one-gpu-a-rank\.sh/],
    [{ gpus: [H200, H200, RTX], localSize: 2, asked: 'h200' }, /a rank sees 2 GPUs/],
    [{ gpus: [H200, RTX], localSize: 3, localRank: 2 }, /3 ranks on this host and 2 GPUs/],
  ];
  for (const [part, told] of refused) {
    const error = t.throws(() => chooseDevice({ ...view, ...part }));
    t.true(isAttncError(error, 'no-adapter'));
    t.regex(error.message, told);
  }
});
