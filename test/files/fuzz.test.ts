import { readFileSync } from 'node:fs';
import test from 'ava';
import { AttncError } from '../../runtime/errors.js';
import { readMatrixMarket, readNpy, readSafetensors, writeSafetensors } from '../../runtime/files/index.js';
import { dtypes, elementCount, fromNumbers } from '../../runtime/tensor.js';
import type { Tensor } from '../../runtime/tensor.js';

/** Mutated files: each is read, and then whole and consistent, or refused in one line. */
const runs = 4000;

type Random = () => number;

/** mulberry32: 0 <= x < 1, the same sequence for the same seed. */
function randomFrom(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x = (x + Math.imul(x ^ (x >>> 7), x | 61)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

const words = [
  '0',
  '-1',
  '9',
  '99999999',
  '1e9',
  '"',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '\\',
  'null',
  '(',
  ')',
  "'",
  ' ',
  '\n',
  '%',
  'F64',
  '\u0000',
];

function mutate(bytes: Uint8Array, random: Random, head: number): Uint8Array {
  const below = (n: number): number => Math.floor(random() * n);
  let list = [...bytes];
  for (let n = 1 + below(2); n > 0; n--) {
    // Mostly in the first bytes, where the headers are.
    const at = below(random() < 0.6 ? Math.min(head, list.length) : list.length);
    switch (below(6)) {
      case 0:
        list[at] = below(256);
        break;
      case 1:
        list[at] = (list[at] ?? 0) ^ (1 << below(8));
        break;
      case 2:
        list = list.slice(0, at);
        break;
      case 3:
        list.splice(at, 1 + below(8));
        break;
      case 4:
        list.splice(at, below(3), ...new TextEncoder().encode(words[below(words.length)]));
        break;
      default:
        list.splice(at, 0, ...list.slice(at, at + 1 + below(40)));
    }
  }
  return Uint8Array.from(list);
}

function consistent(x: Tensor): boolean {
  return elementCount(x.shape) === x.data.length;
}

const numpy = Object.values(
  JSON.parse(readFileSync('test/data/numpy.json', 'utf8')) as Record<string, string>,
);
const graph = (kind: string, entry: string): string =>
  `%%MatrixMarket matrix coordinate ${kind}\n%c\n5 5 2\n${entry}\n`;

const formats: readonly {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  readonly head: number;
  readonly read: (bytes: Uint8Array) => boolean;
}[] = [
  {
    name: 'safetensors',
    seeds: [
      writeSafetensors(new Map(dtypes.map((d) => [d, fromNumbers(d, [2, 3], [1, 0, 1, 1, 0, 1])])), {
        a: 'b',
      }),
      writeSafetensors(new Map([['q', fromNumbers('f32', [1], [1])]])),
      writeSafetensors(new Map()),
    ],
    head: 400,
    read: (bytes) => [...readSafetensors(bytes).tensors.values()].every(consistent),
  },
  {
    name: 'npy',
    seeds: numpy.map((text) => new Uint8Array(Buffer.from(text, 'base64'))),
    head: 90,
    read: (bytes) => consistent(readNpy(bytes)),
  },
  {
    name: 'mtx',
    seeds: [
      graph('pattern general', '1 2\n3 4'),
      graph('real symmetric', '1 2 0.5\n3 4 1e9'),
      graph('integer skew-symmetric', '2 1 7\n\n5 4 -1'),
    ].map((text) => new TextEncoder().encode(text)),
    head: 120,
    read: (bytes) => {
      const { rows, cols, rowPtr, colIdx, weights } = readMatrixMarket(bytes);
      return (
        rowPtr.length === rows + 1 &&
        rowPtr[0] === 0 &&
        rowPtr[rows] === colIdx.length &&
        rowPtr.subarray(1).every((end, r) => end >= rowPtr[r]!) &&
        colIdx.every((c) => c >= 0 && c < cols) &&
        (weights === undefined || weights.length === colIdx.length)
      );
    },
  },
];

for (const { name, seeds, head, read } of formats) {
  test(`${runs} mutated ${name} files`, (t) => {
    const random = randomFrom(20260101);
    let whole = 0;
    for (let run = 0; run < runs; run++) {
      const bytes = mutate(seeds[run % seeds.length]!, random, head);
      try {
        if (!read(bytes)) t.fail(`run ${run}: read, but not consistent`);
        whole += 1;
      } catch (error) {
        if (!(error instanceof AttncError)) throw error;
        if (/[\u0000-\u001f]/.test(error.message)) t.fail(`run ${run}: ${JSON.stringify(error.message)}`);
      }
    }
    t.log(`${whole} read, ${runs - whole} refused`);
    // Both ends of the readers are reached.
    t.true(whole > runs / 200 && whole < runs / 2);
  });
}
