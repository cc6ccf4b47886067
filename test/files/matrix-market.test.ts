import test from 'ava';
import { AttncError } from '../../runtime/errors.js';
import { readMatrixMarket } from '../../runtime/files/index.js';
import type { Csr } from '../../runtime/files/index.js';

const read = (text: string): Csr => readMatrixMarket(new TextEncoder().encode(text), 'g.mtx');

/** Every edge as [row, column] or [row, column, weight]. */
function edges({ rows, rowPtr, colIdx, weights }: Csr): number[][] {
  return Array.from({ length: rows }, (_, r) =>
    Array.from(colIdx.subarray(rowPtr[r], rowPtr[r + 1]), (c, n) =>
      weights === undefined ? [r, c] : [r, c, weights[rowPtr[r]! + n]!],
    ),
  ).flat();
}

const good: readonly (readonly [string, string, number[][]])[] = [
  [
    'pattern general',
    '%%MatrixMarket matrix coordinate pattern general\n3 4 3\n3 1\n1 4\n1 2\n',
    [
      [0, 1],
      [0, 3],
      [2, 0],
    ],
  ],
  ['no line end', '%%MatrixMarket matrix coordinate pattern general\n1 1 1\n1 1', [[0, 0]]],
  [
    'comments, blank lines, tabs, carriage returns',
    '%%matrixmarket MATRIX Coordinate pattern GENERAL\r\n% hello\r\n\r\n 2\t2  2 \r\n\r\n1\t1\r\n%mid\r\n2 2 \r\n\r\n',
    [
      [0, 0],
      [1, 1],
    ],
  ],
  [
    'real',
    '%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 0.5\n2 1 -1e2\n2 2 1.5D+1\n',
    [
      [0, 0, 0.5],
      [1, 0, -100],
      [1, 1, 15],
    ],
  ],
  [
    'integer symmetric',
    '%%MatrixMarket matrix coordinate integer symmetric\n3 3 2\n2 1 7\n3 3 -2\n',
    [
      [0, 1, 7],
      [1, 0, 7],
      [2, 2, -2],
    ],
  ],
  [
    'skew-symmetric',
    '%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 1\n2 1 3\n',
    [
      [0, 1, -3],
      [1, 0, 3],
    ],
  ],
  [
    'repeats are kept, in order',
    '%%MatrixMarket matrix coordinate real general\n1 2 4\n1 2 1\n1 1 9\n1 2 2\n1 2 1\n',
    [
      [0, 0, 9],
      [0, 1, 1],
      [0, 1, 2],
      [0, 1, 1],
    ],
  ],
  ['no entries', '%%MatrixMarket matrix coordinate pattern general\n2 0 0\n', []],
];

for (const [what, text, wanted] of good) {
  test(`reads: ${what}`, (t) => {
    const graph = read(text);
    t.deepEqual(edges(graph), wanted);
    t.is(graph.rowPtr.length, graph.rows + 1);
    t.is(graph.rowPtr[0], 0);
    t.is(graph.rowPtr.at(-1), graph.colIdx.length);
  });
}

test('infinite and missing values are values', (t) => {
  const graph = read(
    '%%MatrixMarket matrix coordinate real general\n1 3 3\n1 1 -inf\n1 2 NaN\n1 3 Infinity\n',
  );
  t.deepEqual([...(graph.weights ?? [])], [-Infinity, NaN, Infinity]);
});

const banner = '%%MatrixMarket matrix coordinate pattern general\n';
const bad: readonly (readonly [string, string, string])[] = [
  ['empty', '', 'g.mtx:0: not a Matrix Market file: it lacks the %%MatrixMarket line'],
  ['no banner', '1 1 1\n1 1\n', 'g.mtx:1: not a Matrix Market file: it lacks the %%MatrixMarket line'],
  [
    'array',
    '%%MatrixMarket matrix array real general\n1 1\n1\n',
    "g.mtx:1: Matrix Market 'array' is not supported; write it in 'coordinate' format",
  ],
  [
    'complex',
    '%%MatrixMarket matrix coordinate complex general\n',
    "g.mtx:1: Matrix Market 'complex' is not supported; write 'pattern', 'real' or 'integer' values",
  ],
  [
    'hermitian',
    '%%MatrixMarket matrix coordinate real hermitian\n',
    "g.mtx:1: Matrix Market 'hermitian' is not supported; write it as 'general', 'symmetric' or 'skew-symmetric'",
  ],
  [
    'vector',
    '%%MatrixMarket vector coordinate real general\n',
    "g.mtx:1: Matrix Market 'vector' is not supported; write a 'matrix'",
  ],
  [
    'skew pattern',
    '%%MatrixMarket matrix coordinate pattern skew-symmetric\n1 1 0\n',
    'g.mtx:1: a skew-symmetric matrix needs values, but this one is a pattern',
  ],
  ['no sizes', banner, 'g.mtx:1: the line with rows, columns and entries is missing'],
  ['two sizes', `${banner}3 3\n`, "g.mtx:2: expected the numbers of rows, columns and entries, found '3 3'"],
  [
    'negative size',
    `${banner}-3 3 0\n`,
    "g.mtx:2: expected the numbers of rows, columns and entries, found '-3 3 0'",
  ],
  [
    'absurd side',
    `${banner}9000000000 1 0\n`,
    'g.mtx:2: 9000000000 by 1 is too large: the most is 268435456 rows and columns',
  ],
  [
    'absurd count',
    `${banner}3 3 9000000000000\n`,
    'g.mtx:2: 9000000000000 entries are announced, more than the file can hold',
  ],
  [
    'not square',
    '%%MatrixMarket matrix coordinate pattern symmetric\n2 3 0\n',
    'g.mtx:2: a symmetric matrix must be square, not 2 by 3',
  ],
  ['too few', `${banner}3 3 3\n1 1\n\n2 2\n`, 'g.mtx:5: 3 entries are announced, but only 2 are there'],
  ['too many', `${banner}3 3 1\n1 1\n% c\n2 2\n`, 'g.mtx:5: more entries than the 1 announced'],
  ['row 0', `${banner}3 3 1\n0 1\n`, 'g.mtx:3: row 0 is outside 1 .. 3'],
  ['column 4', `${banner}3 3 1\n% c\n1 4\n`, 'g.mtx:4: column 4 is outside 1 .. 3'],
  ['a value in a pattern', `${banner}3 3 1\n1 1 5\n`, `g.mtx:3: expected "row column", found '1 1 5'`],
  ['a fraction as index', `${banner}3 3 1\n1.5 1\n`, `g.mtx:3: expected "row column", found '1.5 1'`],
  [
    'no value',
    '%%MatrixMarket matrix coordinate real general\n1 1 1\n1 1\n',
    `g.mtx:3: expected "row column real", found '1 1'`,
  ],
  [
    'not an integer',
    '%%MatrixMarket matrix coordinate integer general\n1 1 1\n1 1 1.5\n',
    `g.mtx:3: expected "row column integer", found '1 1 1.5'`,
  ],
  [
    'a word',
    '%%MatrixMarket matrix coordinate real general\n1 1 1\n1 1 0x10\n',
    `g.mtx:3: expected "row column real", found '1 1 0x10'`,
  ],
  [
    'skew diagonal',
    '%%MatrixMarket matrix coordinate real skew-symmetric\n1 1 1\n1 1 2\n',
    'g.mtx:3: a skew-symmetric matrix has no entries on its diagonal',
  ],
];

for (const [what, text, message] of bad) {
  test(`refuses: ${what}`, (t) => {
    t.throws(() => read(text), { instanceOf: AttncError, message });
  });
}
