import type { Family } from '../compiler/ir/program.js';
import type { Settings } from '../cli/options.js';
import type { TableRecipe } from './tables.js';

/** What is compared: one pattern at one shape, with whom, and what is asked of it. */
export interface Row {
  readonly id: string;
  /** For the table. */
  readonly title: string;
  readonly group: Group;
  /** In samples/. */
  readonly file: string;
  readonly pattern: string;
  readonly set: Settings;
  readonly tables: Readonly<Record<string, TableRecipe>>;
  readonly shape: Shape;
  readonly dtype: 'f16' | 'f32';
  /** Kernels that must be taken; the fastest if not given. */
  readonly family: Family | undefined;
  readonly peers: readonly Peer[];
  readonly goals: readonly Goal[];
  /** Most issued pairs for each needed one. */
  readonly waste: number | undefined;
}

export type Group = 'sparse' | 'dense' | 'webgpu' | 'decode' | 'graph' | 'cited' | 'growth';

export const GROUPS: readonly Group[] = ['sparse', 'dense', 'webgpu', 'decode', 'graph', 'cited', 'growth'];

export interface Shape {
  readonly batch: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly queries: number;
  readonly keys: number;
  readonly dim: number;
  readonly valueDim: number;
}

/** Who is compared with; `bound` and `cited` are times that nobody runs. */
export type Peer =
  'flex' | 'sdpa_flash' | 'sdpa_cudnn' | 'longnet_eager' | 'longnet_compiled' | 'onnx' | 'bound' | 'cited';

export const PEER_NAMES: Readonly<Record<Peer, string>> = {
  flex: 'FlexAttention',
  sdpa_flash: 'SDPA flash',
  sdpa_cudnn: 'SDPA cuDNN',
  longnet_eager: 'gather + flash + mix',
  longnet_compiled: 'gather + flash + mix, compiled',
  onnx: 'onnxruntime-node, WebGPU',
  bound: 'bandwidth bound',
  cited: 'graph kernels (IPDPS 2025), on record',
};

/**
 * Of our time over the best of `peers`: `time` is asked to be at most `must` (and hoped to be at most `aim`); `speed`,
 * its inverse, at least.
 */
export interface Goal {
  readonly peers: readonly Peer[];
  readonly kind: 'time' | 'speed';
  readonly must: number | undefined;
  readonly aim: number | undefined;
}

/**
 * Milliseconds of the graph kernels of Tomczak and Kuppannagari (IPDPS 2025) on an H200: 65536 × 1 head, dim 64, window
 * ±256. Measured before, not in the run.
 */
export const CITED = 41.9;

const time = (peer: Peer | readonly Peer[], must?: number, aim?: number): Goal => ({
  peers: typeof peer === 'string' ? [peer] : peer,
  kind: 'time',
  must,
  aim,
});
const speed = (peer: Peer, must: number, aim: number): Goal => ({ peers: [peer], kind: 'speed', must, aim });

const LONG: Shape = {
  batch: 1,
  heads: 8,
  keyHeads: 8,
  queries: 65536,
  keys: 65536,
  dim: 64,
  valueDim: 64,
};

const square = (length: number, heads: number, dim: number): Shape => ({
  batch: 1,
  heads,
  keyHeads: heads,
  queries: length,
  keys: length,
  dim,
  valueDim: dim,
});

type Given = Pick<Row, 'id' | 'title' | 'file' | 'pattern'> & Partial<Row>;

const row = (given: Given): Row => ({
  group: 'sparse',
  set: {},
  tables: {},
  shape: LONG,
  dtype: 'f16',
  family: undefined,
  peers: given.goals?.flatMap((g) => g.peers) ?? [],
  goals: [],
  waste: undefined,
  ...given,
});

const sparse: readonly Row[] = [
  row({
    id: 'window',
    title: 'window ±256',
    file: 'sliding.attn',
    pattern: 'sliding',
    set: { window: 256 },
    goals: [time('flex', 1.7, 1)],
    waste: 1.15,
  }),
  row({
    id: 'globals-front',
    title: 'window ±256, 64 globals in front',
    file: 'longformer.attn',
    pattern: 'longformer',
    set: { window: 256, globals: 64 },
    goals: [time('flex', 0.4, 0.3)],
  }),
  row({
    id: 'globals-scattered',
    title: 'window ±256, 64 globals scattered',
    file: 'longformer.attn',
    pattern: 'global_sliding',
    set: { window: 256 },
    tables: { g: { kind: 'scattered', count: 64, seed: 7 } },
    goals: [time('flex', 0.4, 0.3)],
  }),
  row({
    id: 'dilated',
    title: 'dilated, 128 keys a side, step 8',
    file: 'dilated.attn',
    pattern: 'dilated_1d',
    set: { window: 128, gap: 7 },
    goals: [time('flex', 0.16, 0.11)],
    waste: 1.3,
  }),
  row({
    id: 'neighbourhood-2d',
    title: 'neighbourhood 13×13 on 256×256',
    file: 'neighbourhood.attn',
    pattern: 'neighbourhood_2d',
    set: { width: 256, kernel: 13 },
    goals: [time('flex', 0.5, 0.25)],
  }),
  row({
    id: 'neighbourhood-3d',
    title: 'neighbourhood 5×5×5 on 32×32×64',
    file: 'neighbourhood.attn',
    pattern: 'neighbourhood_3d',
    set: { height: 32, width: 64, frames: 5, kernel: 5 },
    goals: [time('flex', 0.5, 0.25)],
  }),
  row({
    id: 'longnet',
    title: 'LongNet 2048 … 32768 / 1 … 16',
    file: 'longnet.attn',
    pattern: 'longnet_torchscale',
    set: { w: [2048, 4096, 8192, 16384, 32768], r: [1, 2, 4, 8, 16] },
    goals: [time('flex', 0.12, 0.06), time('longnet_eager', 1.5), time('longnet_compiled', undefined, 1)],
    waste: 1.15,
  }),
  row({
    id: 'bigbird',
    title: 'BigBird, block 64, window 3, 1 global, 3 random',
    file: 'bigbird.attn',
    pattern: 'bigbird',
    set: { block: 64, window: 3, globals: 1, random: 3 },
    goals: [time('flex', 0.12, 0.07)],
  }),
  row({
    id: 'documents',
    title: 'documents of 256 to 7936, causal',
    file: 'documents.attn',
    pattern: 'documents_causal',
    tables: { doc: { kind: 'documents', least: 256, most: 7936, seed: 11 } },
    goals: [time('flex', 2, 1.2)],
  }),
];

const dense: readonly Row[] = [64, 128].flatMap((dim) =>
  ['dense', 'causal'].map((pattern) =>
    row({
      id: `${pattern}-${dim}`,
      title: `${pattern} 16384 × 16 × ${dim}`,
      group: 'dense',
      file: 'dense.attn',
      pattern,
      shape: square(16384, 16, dim),
      peers: ['sdpa_flash', 'sdpa_cudnn'],
      goals: [speed('sdpa_flash', 0.35, 0.6)],
    }),
  ),
);

const webgpu: readonly Row[] = [
  { family: 'matrix', dtype: 'f16', must: 3, aim: 8 },
  { family: 'subgroup', dtype: 'f16', must: 1.3, aim: 2 },
  { family: 'portable', dtype: 'f32', must: 1.3, aim: 2 },
].map(({ family, dtype, must, aim }) =>
  row({
    id: `webgpu-${family}`,
    title: `dense 8192 × 16 × 64, ${dtype}, ${family}`,
    group: 'webgpu',
    file: 'dense.attn',
    pattern: 'dense',
    shape: square(8192, 16, 64),
    dtype: dtype as Row['dtype'],
    family: family as Family,
    goals: [speed('onnx', must, aim)],
  }),
);

const others: readonly Row[] = [
  row({
    id: 'decode',
    title: 'decode, 1 query × 32 heads on 8, 131072 keys, dim 128',
    group: 'decode',
    file: 'dense.attn',
    pattern: 'causal',
    shape: { batch: 1, heads: 32, keyHeads: 8, queries: 1, keys: 131072, dim: 128, valueDim: 128 },
    peers: ['sdpa_flash', 'sdpa_cudnn', 'flex'],
    goals: [time(['sdpa_flash', 'sdpa_cudnn'], 1.25, 1)],
  }),
  row({
    id: 'graph-uniform',
    title: 'graph of 1,000,000, degree 16',
    group: 'graph',
    file: 'graph.attn',
    pattern: 'graph',
    tables: { bonds: { kind: 'uniform-graph', degree: 16, seed: 3 } },
    shape: square(1_000_000, 1, 64),
    goals: [speed('bound', 0.25, 0.6)],
  }),
  row({
    id: 'graph-power-law',
    title: 'graph of 1,000,000, power law to 10,000, mean 16',
    group: 'graph',
    file: 'graph.attn',
    pattern: 'graph',
    tables: { bonds: { kind: 'power-law-graph', exponent: 2.2, mean: 16, most: 10_000, seed: 5 } },
    shape: square(1_000_000, 1, 64),
    goals: [speed('bound', 0.25, 0.6)],
  }),
  // Its dense boxes are tiles, which read a key's row once for many edges: the bound is no bound for it.
  row({
    id: 'graph-communities',
    title: 'graph of 250,000, communities of 256 with half of their pairs, 4 edges more a row',
    group: 'graph',
    file: 'graph.attn',
    pattern: 'graph',
    tables: { bonds: { kind: 'community-graph', size: 256, share: 0.5, loose: 4, seed: 9 } },
    shape: square(250_000, 1, 64),
    peers: ['bound'],
  }),
  row({
    id: 'window-1-head',
    title: 'window ±256, 1 head',
    group: 'cited',
    file: 'sliding.attn',
    pattern: 'sliding',
    set: { window: 256 },
    shape: square(65536, 1, 64),
    goals: [speed('cited', 200, 400)],
  }),
];

/** How cost grows with the length: no peers, no goals. */
const GROWING: readonly Pick<Row, 'id' | 'file' | 'pattern' | 'set'>[] = [
  { id: 'window', file: 'sliding.attn', pattern: 'sliding', set: { window: 256 } },
  { id: 'globals', file: 'longformer.attn', pattern: 'longformer', set: { window: 256, globals: 64 } },
  { id: 'longnet', file: 'longnet.attn', pattern: 'longnet_torchscale', set: {} },
  { id: 'causal', file: 'dense.attn', pattern: 'causal', set: {} },
];

const growth: readonly Row[] = GROWING.flatMap(({ id, file, pattern, set }) =>
  [32768, 65536, 131072, 262144, 524288]
    .filter((length) => id !== 'causal' || length <= 131072)
    .map((length) =>
      row({
        id: `growth-${id}-${length}`,
        title: `${pattern} ${length.toLocaleString('en')} × 2 × 64`,
        group: 'growth',
        file,
        pattern,
        set,
        shape: square(length, 2, 64),
      }),
    ),
);

export const ROWS: readonly Row[] = [...sparse, ...dense, ...webgpu, ...others, ...growth];

/**
 * The same row at a size that a software device can bear: for trying the whole comparison out, and for tests. Patterns
 * shrink in proportion, so that every peer has the same work to do in kind.
 */
export function smallRow(full: Row): Row {
  const { queries, keys, heads, keyHeads, dim } = full.shape;
  // Rows of growth keep their proportions.
  const length = full.group === 'growth' ? keys / 256 : 256;
  const shape: Shape = {
    ...full.shape,
    heads: heads === keyHeads ? Math.min(2, heads) : 4,
    keyHeads: heads === keyHeads ? Math.min(2, heads) : 2,
    queries: queries === 1 ? 1 : length,
    keys: queries === 1 ? Math.min(keys, 512) : length,
    dim: Math.min(dim, 32),
    valueDim: Math.min(dim, 32),
  };
  const grid: Settings =
    full.pattern === 'neighbourhood_2d'
      ? { width: 16, kernel: 5 }
      : { height: 8, width: 8, frames: 3, kernel: 3 };
  const settings: Readonly<Record<string, Settings>> = {
    sliding: { window: 16 },
    longformer: { window: 16, globals: 4 },
    global_sliding: { window: 16 },
    dilated_1d: { window: 4, gap: 3 },
    neighbourhood_2d: grid,
    neighbourhood_3d: grid,
    longnet_torchscale: { w: [32, 64, 128], r: [1, 2, 4] },
    bigbird: { block: 16, window: 3, globals: 1, random: 1 },
  };
  const tables = Object.fromEntries(
    Object.entries(full.tables).map(([name, recipe]): [string, TableRecipe] => {
      switch (recipe.kind) {
        case 'documents':
          return [name, { ...recipe, least: 8, most: 90 }];
        case 'scattered':
          return [name, { ...recipe, count: 4 }];
        case 'uniform-graph':
          return [name, { ...recipe, degree: 8 }];
        case 'power-law-graph':
          return [name, { ...recipe, mean: 8, most: 100 }];
        case 'community-graph':
          return [name, { ...recipe, size: 80, loose: 2 }];
      }
    }),
  );
  return { ...full, title: `${full.title} (small)`, shape, tables, set: settings[full.pattern] ?? full.set };
}
