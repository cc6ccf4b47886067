/** What a comparison is made of, without a device: inputs, tables, rows, judgements, the report. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'ava';
import { benchTensor, mix, place, SALTS, saltOf, valueOf, VALUES } from '../../bench/inputs.js';
import { sampledRows } from '../../bench/jobs.js';
import { messageOf } from '../../bench/messages.js';
import { attentionModel } from '../../bench/onnx/model.js';
import { chooseRows, readOptions } from '../../bench/options.js';
import { markdown } from '../../bench/report.js';
import { rowResult, type Results } from '../../bench/results.js';
import { ROWS, smallRow, type Goal, type Row } from '../../bench/rows.js';
import { makeTables } from '../../bench/tables.js';
import { checksOf, judge, relativeDifference, type PeerTime } from '../../bench/verdict.js';
import { toFloat32 } from '../../runtime/tensor.js';

const python = (code: string) => spawnSync('python3', ['-I', '-S', '-c', code], { encoding: 'utf8' });
const hasPython = python('').status === 0;
const PEERS = 'bench/peers';

test('inputs: the same numbers in Python', (t) => {
  if (!hasPython) {
    t.log('skipped: there is no python3');
    t.pass();
    return;
  }
  const numbers = [0, 1, 2, 63, 64, 12_345_678, 2 ** 31, 2 ** 32 - 1, 134_217_727];
  const code =
    `import sys, json; sys.path.insert(0, '${PEERS}'); import inputs\n` +
    `numbers = ${JSON.stringify(numbers)}\n` +
    `print(json.dumps({"mix": [inputs.mix(n) for n in numbers], ` +
    `"salts": {s: inputs.salt_of(s) for s in inputs.SALTS}, ` +
    `"places": {s: [inputs.place(n, inputs.salt_of(s)) for n in range(2000)] for s in inputs.SALTS}, ` +
    `"values": [inputs.value_of(p) for p in range(inputs.VALUES)]}))`;
  const { stdout, stderr } = python(code);
  t.is(stderr, '');
  const names = Object.keys(SALTS) as (keyof typeof SALTS)[];
  t.deepEqual(JSON.parse(stdout), {
    mix: numbers.map(mix),
    salts: Object.fromEntries(names.map((s) => [s, saltOf(s)])),
    places: Object.fromEntries(
      names.map((s) => [s, Array.from({ length: 2000 }, (_, n) => place(n, saltOf(s)))]),
    ),
    values: Array.from({ length: VALUES }, (_, n) => valueOf(n)),
  });
});

test('inputs: of mean 0 and variance 1, the same in f16 and f32, different for q, k and v', (t) => {
  const shape = [2, 3, 50, 16];
  const of = (name: 'q' | 'k' | 'v', dtype: 'f16' | 'f32') => [...toFloat32(benchTensor(name, dtype, shape))];
  const q = of('q', 'f32');
  t.deepEqual(of('q', 'f16'), q);
  t.notDeepEqual(of('k', 'f32'), q);
  t.notDeepEqual(of('v', 'f32'), of('k', 'f32'));
  const mean = q.reduce((a, b) => a + b, 0) / q.length;
  const variance = q.reduce((a, b) => a + b * b, 0) / q.length;
  t.true(Math.abs(mean) < 0.05 && Math.abs(variance - 1) < 0.05, `${mean} ${variance}`);
});

test('the Python files are Python, and without torch every task is told as not done', (t) => {
  if (!hasPython) {
    t.log('skipped: there is no python3');
    t.pass();
    return;
  }
  for (const file of readdirSync(PEERS).filter((f) => f.endsWith('.py'))) {
    const { stderr } = python(`import ast; ast.parse(open('${PEERS}/${file}').read())`);
    t.is(stderr, '', file);
  }
  const args = ['-I', '-S', `${PEERS}/main.py`, 'time', 'nowhere', 'window/flex', 'dense-64/sdpa_flash'];
  const { stdout, status } = spawnSync('python3', args, { encoding: 'utf8' });
  t.is(status, 0);
  const messages = stdout.trim().split('\n').map(messageOf);
  t.deepEqual(
    messages.map((m) => (m?.kind === 'failed' ? m.task : m)),
    ['window/flex', 'dense-64/sdpa_flash'],
  );
  for (const m of messages) if (m?.kind === 'failed') t.regex(m.why, /^ModuleNotFoundError: .*torch/);
});

test('documents: lengths in their range, numbered from 0', (t) => {
  const { doc } = makeTables('doc', { kind: 'documents', least: 10, most: 40, seed: 1 }, 1000);
  const data = [...(doc.data as Int32Array)];
  const lengths: number[] = [];
  for (const d of data) lengths[d] = (lengths[d] ?? 0) + 1;
  t.is(data[0], 0);
  t.true(data.every((d, n) => n === 0 || d === data[n - 1] || d === data[n - 1] + 1));
  t.true(lengths.slice(0, -1).every((n) => n >= 10 && n <= 40));
  t.true(new Set(lengths).size > 5);
});

test('scattered: as many as asked for', (t) => {
  const { g } = makeTables('g', { kind: 'scattered', count: 64, seed: 7 }, 65536);
  t.is(
    [...(g.data as Uint8Array)].reduce((a, b) => a + b, 0),
    64,
  );
});

test('graphs: rows of distinct columns in rising order, degrees as asked for', (t) => {
  const rows = 20_000;
  const recipes = [
    { kind: 'uniform-graph', degree: 16, seed: 3 },
    { kind: 'power-law-graph', exponent: 2.2, mean: 16, most: 1000, seed: 5 },
    { kind: 'community-graph', size: 24, share: 0.5, loose: 4, seed: 9 },
  ] as const;
  // The most columns of a row.
  const limits = { 'uniform-graph': [16, 16], 'power-law-graph': [301, 1000], 'community-graph': [20, 28] };
  for (const recipe of recipes) {
    const tables = makeTables('x', recipe, rows);
    const rowPtr = tables['x.row_ptr'].data as Int32Array;
    const columns = tables['x.col_idx'].data as Int32Array;
    t.is(rowPtr.length, rows + 1);
    t.is(rowPtr[rows], columns.length);
    let rising = true;
    const degrees: number[] = [];
    for (let row = 0; row < rows; row++) {
      degrees.push(rowPtr[row + 1] - rowPtr[row]);
      for (let n = rowPtr[row]; n < rowPtr[row + 1]; n++) {
        const before = n > rowPtr[row] ? columns[n - 1] : -1;
        rising &&= before < columns[n] && columns[n] < rows;
      }
    }
    t.true(rising, recipe.kind);
    const mean = columns.length / rows;
    t.true(Math.abs(mean - 16) < 1.5, `${recipe.kind} ${mean}`);
    const most = Math.max(...degrees);
    const [least, limit] = limits[recipe.kind];
    t.true(least <= most && most <= limit, `${recipe.kind} ${most}`);
  }
});

test('rows: every row of the table is there, at the shapes asked for', (t) => {
  t.is(new Set(ROWS.map((r) => r.id)).size, ROWS.length);
  const goals = ROWS.filter((r) => r.goals.length > 0);
  t.is(goals.length, 20);
  for (const r of ROWS) {
    for (const peer of r.goals.flatMap((g) => g.peers)) t.true(r.peers.includes(peer), r.id);
    const small = smallRow(r);
    t.true(small.shape.keys <= 2048 && small.shape.dim <= 64, r.id);
    t.deepEqual(small.goals, r.goals);
  }
  const longnet = ROWS.find((r) => r.id === 'longnet')!;
  t.deepEqual(
    longnet.goals.map((g) => [g.peers[0], g.must, g.aim]),
    [
      ['flex', 0.12, 0.06],
      ['longnet_eager', 1.5, undefined],
      ['longnet_compiled', undefined, 1],
    ],
  );
});

test('sampled rows: the first, the last, none twice, rising', (t) => {
  t.deepEqual(sampledRows(3), [0, 1, 2]);
  const rows = sampledRows(65536);
  t.is(rows.length, 256);
  t.is(rows[0], 0);
  t.is(rows.at(-1), 65535);
  t.true(rows.every((r, n) => n === 0 || r > rows[n - 1]));
});

test('options', (t) => {
  const read = (line: string) => readOptions(line.split(' ').filter((w) => w !== ''));
  const ids = (names: string) => chooseRows(names.split(',')).map((r) => r.id);
  t.is(read('--list'), 'list');
  t.is(read('--help'), 'help');
  t.like(read('--rows window --without torch,onnx --deadline 60'), {
    without: ['torch', 'onnx'],
    deadline: 60_000,
    blocks: [64, 128],
    small: false,
  });
  t.deepEqual(ids('longnet,window'), ['window', 'longnet']);
  t.deepEqual(ids('graph'), ['graph-uniform', 'graph-power-law', 'graph-communities']);
  t.deepEqual(ids('sparse,-longnet').includes('longnet'), false);
  t.is(ids('-growth').length, 21);
  for (const wrong of ['--rows nope', '--without cuda', '--patience x', '--blocks 8', '--unknown']) {
    t.throws(() => read(wrong), undefined, wrong);
  }
});

const timed = (median: number): PeerTime => ({
  milliseconds: { median, p10: median, p90: median },
  variant: '',
  difference: 0,
});
const missing: PeerTime = { why: 'not there' };

const judged: readonly {
  readonly goal: Partial<Goal>;
  readonly own: number | undefined;
  readonly peers: Parameters<typeof judge>[2];
  readonly expected: readonly unknown[];
}[] = [
  { goal: {}, own: 3, peers: { flex: timed(2) }, expected: ['flex', 1.5, 'reached', 'missed'] },
  { goal: {}, own: 1, peers: { flex: timed(2) }, expected: ['flex', 0.5, 'reached', 'reached'] },
  { goal: {}, own: 4, peers: { flex: timed(2) }, expected: ['flex', 2, 'missed', 'missed'] },
  { goal: {}, own: 4, peers: { flex: missing }, expected: [undefined, undefined, 'unknown', 'unknown'] },
  { goal: {}, own: 4, peers: {}, expected: [undefined, undefined, 'unknown', 'unknown'] },
  {
    goal: {},
    own: undefined,
    peers: { flex: timed(2) },
    expected: ['flex', undefined, 'unknown', 'unknown'],
  },
  {
    goal: { must: undefined },
    own: 1,
    peers: { flex: timed(2) },
    expected: ['flex', 0.5, 'none', 'reached'],
  },
  // Speed is the inverse: at least so many times as fast.
  {
    goal: { kind: 'speed', must: 0.35, aim: 0.6 },
    own: 10,
    peers: { flex: timed(4) },
    expected: ['flex', 0.4, 'reached', 'missed'],
  },
  // The better of several counts, and what is there of them.
  {
    goal: { peers: ['sdpa_flash', 'sdpa_cudnn'] },
    own: 3,
    peers: { sdpa_flash: timed(4), sdpa_cudnn: timed(2) },
    expected: ['sdpa_cudnn', 1.5, 'reached', 'missed'],
  },
  {
    goal: { peers: ['sdpa_flash', 'sdpa_cudnn'] },
    own: 3,
    peers: { sdpa_flash: timed(4), sdpa_cudnn: missing },
    expected: ['sdpa_flash', 0.75, 'reached', 'reached'],
  },
];

test('goals', (t) => {
  for (const { goal, own, peers, expected } of judged) {
    const whole: Goal = { peers: ['flex'], kind: 'time', must: 1.7, aim: 1, ...goal };
    const { peer, ratio, must, aim } = judge(whole, own, peers);
    t.deepEqual([peer, ratio, must, aim], expected, JSON.stringify(whole));
  }
});

test('checks of every row', (t) => {
  const good = { error: 1e-3, waste: 1.1, off: 2, on: 2.4 };
  t.deepEqual(checksOf({ waste: 1.15 }, good), { error: true, waste: true, robustness: true });
  t.deepEqual(checksOf({ waste: undefined }, { ...good, on: undefined }), {
    error: true,
    waste: undefined,
    robustness: undefined,
  });
  t.deepEqual(checksOf({ waste: 1.15 }, { error: 2.1e-3, waste: 1.16, off: 2, on: 2.6 }), {
    error: false,
    waste: false,
    robustness: false,
  });
});

test('relative differences', (t) => {
  t.is(relativeDifference([1, 2], [1, 2]), 0);
  t.is(relativeDifference([3, 5], [3, 4]), 0.2);
  t.is(relativeDifference([1], [1, 2]), Infinity);
  t.is(relativeDifference([NaN, 1], [1, 1]), Infinity);
  t.is(relativeDifference([1, 1], [NaN, 1]), Infinity);
  t.is(relativeDifference([0.5], [0]), 0.5);
});

/** Fields of protobuf's wire format: numbers and bytes. */
function fieldsOf(bytes: Uint8Array): readonly (readonly [field: number, value: number | Uint8Array])[] {
  const found: [number, number | Uint8Array][] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const value = varint();
    if (key % 8 === 0) found.push([Math.floor(key / 8), value]);
    else {
      found.push([Math.floor(key / 8), bytes.subarray(at, at + value)]);
      at += value;
    }
  }
  return found;
}

test('the ONNX model is a chain of attentions', (t) => {
  const model = attentionModel({ heads: 16, length: 8192, dim: 64, dtype: 'f16', layers: 3 });
  const text = (value: unknown) => new TextDecoder().decode(value as Uint8Array);
  const get = (bytes: Uint8Array, field: number) =>
    fieldsOf(bytes)
      .filter(([f]) => f === field)
      .map(([, value]) => value);
  const graph = get(model, 7)[0] as Uint8Array;
  const nodes = get(graph, 1) as Uint8Array[];
  t.deepEqual(
    nodes.map((n) => [
      ...get(n, 1).map(text),
      ...get(n, 2).map(text),
      text(get(n, 4)[0]),
      text(get(n, 7)[0]),
    ]),
    [
      ['q', 'k', 'v', 'out0', 'MultiHeadAttention', 'com.microsoft'],
      ['out0', 'k', 'v', 'out1', 'MultiHeadAttention', 'com.microsoft'],
      ['out1', 'k', 'v', 'out', 'MultiHeadAttention', 'com.microsoft'],
    ],
  );
  const attribute = get(nodes[0], 5)[0] as Uint8Array;
  t.deepEqual([text(get(attribute, 1)[0]), get(attribute, 3)[0]], ['num_heads', 16]);
  const values = [...get(graph, 11), ...get(graph, 12)] as Uint8Array[];
  const shapes = values.map((v) => {
    const type = get(get(v, 2)[0] as Uint8Array, 1)[0] as Uint8Array;
    const sizes = get(get(type, 2)[0] as Uint8Array, 1) as Uint8Array[];
    return [text(get(v, 1)[0]), get(type, 1)[0], ...sizes.map((s) => get(s, 1)[0])];
  });
  const HALF = 10;
  t.deepEqual(
    shapes,
    ['q', 'k', 'v', 'out'].map((name) => [name, HALF, 1, 8192, 1024]),
  );
});

const own = {
  milliseconds: { median: 0.5, p10: 0.49, p90: 0.52 },
  runs: 800,
  clock: 'timestamps',
  family: 'matrix',
  schedule: 'rows',
  splits: 1,
  needed: 1_000_000_000,
  issued: 1_100_000_000,
  exact: true,
  flops: 256e9,
  bytes: 4e8,
  error: 3e-4,
  worstRow: 9e-4,
  oracleRows: 256,
  planMilliseconds: 1,
  compileMilliseconds: 900,
  file: 'x',
};
const rowOf = (id: string): Row => ROWS.find((r) => r.id === id)!;

const results: Results = {
  format: 'attnc-comparison',
  version: 1,
  date: '2026-11-24T10:00:00.000Z',
  versions: { attnc: '0.1.0 (abc)', torch: '2.11.0', triton: undefined },
  card: 'a card',
  ceilings: { copy: 4e12, f32: 60e12, matrix: 512e12, matrixShape: '16×16×16' },
  small: false,
  rows: [
    rowResult(
      rowOf('window'),
      own,
      { ...own, milliseconds: { median: 0.7, p10: 0.7, p90: 0.7 } },
      {
        flex: timed(0.4),
      },
    ),
    rowResult(rowOf('dense-64'), { why: 'the device was lost' }, undefined, {
      sdpa_flash: timed(3.66),
      sdpa_cudnn: { why: 'no engine' },
    }),
    rowResult(rowOf('growth-window-32768'), own, undefined, {}),
    rowResult(
      rowOf('growth-window-65536'),
      { ...own, milliseconds: { median: 123.4, p10: 1, p90: 2 } },
      undefined,
      {},
    ),
  ],
};

test('the report', (t) => {
  const file = 'test/bench/report.md';
  const text = `${markdown(JSON.parse(JSON.stringify(results)) as Results)}\n`;
  if (process.env.UPDATE_GOLDENS) t.log(text);
  t.is(text, readFileSync(file, 'utf8'));
});
