/** The samples and the shapes that tests run them on: one table for every kind of test. */
import {
  alibiSlopes,
  ancestors,
  documentNumbers,
  floats,
  randomGraph,
  sparseFlags,
  wholeNumbers,
  type TableShape,
  type Tables,
} from './sample-tables.js';

export type { TableData, Tables, TableShape } from './sample-tables.js';
export { pairwise } from './pairwise.js';

/** Lengths around the tile sizes, and a ragged thousand. Grids have lengths of their own. */
export const LENGTHS = [1, 2, 63, 64, 65, 127, 128, 200, 1000] as const;

/** [queries, keys] where they differ; the last has more keys than one tile and a ragged rest on both sides. */
export const QUERY_KEY_PAIRS = [
  [1, 100],
  [17, 129],
  [100, 150],
] as const;

/** 16 to 256 in steps of 8. */
export const HEAD_SIZES: readonly number[] = Array.from({ length: 31 }, (_, n) => 16 + 8 * n);

/** [heads, key heads] */
export const HEAD_PAIRS = [
  [1, 1],
  [3, 1],
  [3, 3],
  [8, 2],
  [8, 8],
] as const;

export const BATCHES = [1, 2] as const;

export type SettingValue = number | boolean | readonly number[];

/** Parameters, and the lengths that suit them. */
export interface SampleSetting {
  readonly set: Readonly<Record<string, SettingValue>>;
  readonly lengths: readonly number[];
}

export interface SampleCase {
  /** From the package's root. */
  readonly file: string;
  readonly pattern: string;
  readonly settings: readonly SampleSetting[];
  /** Tables for a shape; empty where the pattern has no inputs. */
  readonly tables: (shape: TableShape, seed: number, set: SampleSetting['set']) => Tables;
  /** More queries than keys make sense (`align start`). */
  readonly moreQueries: boolean;
  /** Heads below which the pattern is not what it is meant to be: tests use at least so many. */
  readonly heads: number;
}

type Options = Partial<Omit<SampleCase, 'file' | 'pattern' | 'settings'>>;

function sample(
  file: string,
  pattern: string,
  sets: readonly (SampleSetting['set'] | SampleSetting)[] = [{}],
  options: Options = {},
): SampleCase {
  const settings = sets.map((s) => (isSetting(s) ? s : { set: s, lengths: LENGTHS }));
  return {
    file: `samples/${file}.attn`,
    pattern,
    settings,
    tables: () => ({}),
    moreQueries: false,
    heads: 1,
    ...options,
  };
}

function isSetting(s: SampleSetting['set'] | SampleSetting): s is SampleSetting {
  return Array.isArray(s['lengths']) && typeof s['set'] === 'object';
}

/** A grid: lengths are whole rows (or frames), with prime and ragged sides. */
const grid = (set: SampleSetting['set'], perRow: number, rows: readonly number[]): SampleSetting => ({
  set,
  lengths: rows.map((n) => n * perRow),
});

const longnetSets = [
  { w: [32, 64, 128], r: [1, 2, 4] },
  { w: [20, 50], r: [1, 3] },
  { w: [64, 16], r: [4, 4] },
];
const windows = [{ window: 16 }, { window: 100 }, { window: 0 }];
const doc = ({ keys }: TableShape, seed: number): Tables => ({ doc: documentNumbers([keys], seed) });
const slope = ({ heads }: TableShape): Tables => ({ slope: alibiSlopes(heads) });
const sinks = ({ heads }: TableShape, seed: number): Tables => ({ sinks: floats([heads], 4, seed) });
const bonds =
  (options: { readonly weights?: boolean } = {}) =>
  ({ keys }: TableShape, seed: number): Tables =>
    randomGraph('bonds', { rows: keys, columns: keys, degree: 6, community: 36, ...options }, seed);

export const SAMPLES: readonly SampleCase[] = [
  sample('dense', 'dense'),
  sample('dense', 'causal'),
  sample('dense', 'cross', [{}], { moreQueries: true }),
  sample('sliding', 'sliding', windows),
  sample('sliding', 'sliding_causal', windows),
  sample('sliding', 'window_causal', windows),
  sample('prefix', 'prefix', [{ prefix: 10 }, { prefix: 70 }, { prefix: 0 }]),
  sample('prefix', 'prefix_batch', [{}], {
    tables: ({ batch, keys }, seed) => ({ prompt: wholeNumbers([batch], keys, seed) }),
  }),
  sample('longformer', 'longformer', [
    { window: 16, globals: 3 },
    { window: 8, globals: 70 },
  ]),
  sample('longformer', 'global_sliding', [{ window: 8 }, { window: 40 }], {
    tables: ({ keys }, seed) => ({ g: sparseFlags(keys, seed) }),
  }),
  sample(
    'bigbird',
    'bigbird',
    [
      { block: 16, window: 3, globals: 1, random: 2 },
      { block: 7, window: 1, globals: 0, random: 5, seed: 3 },
    ],
    { heads: 2 },
  ),
  sample('sparse-transformer', 'strided', [{ stride: 8 }, { stride: 13 }, { stride: 1 }]),
  sample('sparse-transformer', 'fixed', [
    { stride: 8, summary: 2 },
    { stride: 13, summary: 5 },
  ]),
  sample('dilated', 'dilated_window', [
    { window: 40, dilation: 4 },
    { window: 100, dilation: 7 },
  ]),
  sample('dilated', 'dilated_1d', [
    { window: 8, gap: 3 },
    { window: 5, gap: 0 },
    { window: 9, gap: 6 },
  ]),
  sample('dilated', 'dilated_2d', [
    { block: 32, gap: 1 },
    { block: 50, gap: 2 },
  ]),
  sample('global-minus-local', 'global_minus_local', [
    { globals: [0, 1, 2], window: 8 },
    { globals: [0, 17, 64, 150, 999], window: 20 },
  ]),
  sample('graph', 'graph', [{}], { tables: bonds() }),
  sample('graph', 'graph_weighted', [{}, { strength: -0.5 }], { tables: bonds({ weights: true }) }),
  sample('graph', 'graph_heads', [{}], {
    // Head 1 has no edge.
    tables: ({ heads, keys }, seed) =>
      randomGraph(
        'bonds',
        { rows: keys, columns: keys, degree: 6, graphs: [heads], empty: [1], community: 36 },
        seed,
      ),
    heads: 2,
  }),
  sample('graph', 'graph_blocks', [{ block: 16 }, { block: 24 }], {
    tables: ({ keys }, seed, { block }) => {
      const blocks = Math.ceil(keys / Number(block));
      return randomGraph('blocks', { rows: blocks, columns: blocks, degree: 2 }, seed);
    },
  }),
  sample('longnet', 'longnet', longnetSets, { heads: 4 }),
  sample('longnet', 'longnet_torchscale', longnetSets, { heads: 4 }),
  sample('longnet', 'longnet_causal', longnetSets, { heads: 4 }),
  sample('longnet', 'longnet_torchscale_causal', longnetSets, { heads: 4 }),
  sample('documents', 'documents', [{}], { tables: doc }),
  sample('documents', 'documents_causal', [{}], { tables: doc }),
  sample('documents', 'documents_batch_causal', [{}], {
    tables: ({ batch, keys }, seed) => ({ doc: documentNumbers([batch, keys], seed) }),
  }),
  sample('shared-prefix', 'shared_prefix', [{}, { prefix: 2 }], { tables: doc }),
  sample('shared-prefix', 'shared_prefix_causal', [{}, { prefix: 2 }], { tables: doc }),
  sample('neighbourhood', 'neighbourhood_2d', [
    grid({ width: 7, kernel: 3 }, 7, [1, 7, 13, 29]),
    grid({ width: 13, kernel: 5 }, 13, [1, 11, 31]),
    grid({ width: 16, kernel: 13 }, 16, [16, 10, 40]),
    grid({ width: 1, kernel: 3 }, 1, [1, 65]),
  ]),
  sample('neighbourhood', 'neighbourhood_3d', [
    grid({ height: 5, width: 7, frames: 3, kernel: 3 }, 35, [1, 3, 11]),
    grid({ height: 8, width: 8, frames: 1, kernel: 5 }, 64, [1, 3, 8]),
  ]),
  sample('butterfly', 'butterfly'),
  sample('alibi', 'alibi', [{}], { tables: slope }),
  sample('alibi', 'alibi_encoder', [{}], { tables: slope }),
  sample('alibi', 'alibi_softcap', [{}, { cap: 5 }], { tables: slope }),
  sample('softcap', 'softcap', [{}, { cap: 2 }]),
  sample('softcap', 'softcap_sliding', [{ window: 16, cap: 2 }, { window: 100 }]),
  sample('sink', 'sink', [{}], { tables: sinks }),
  sample('sink', 'sink_sliding', [{ window: 16 }, { window: 100 }], { tables: sinks }),
  sample('relative-bias', 'relative_bias', [{ m: 8 }, { m: 100 }, { m: 0 }], {
    tables: ({ heads }, seed, { m }) => ({ table: floats([heads, 2 * Number(m) + 1], 3, seed) }),
  }),
  sample('speculative', 'speculative', [{ nodes: 12 }, { nodes: 40 }], {
    tables: (_, seed, { nodes }) => ({ ancestor: ancestors(Number(nodes), seed) }),
  }),
];
