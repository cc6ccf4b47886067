import type { SettingValue } from '../shapes.js';

/** What the goldens of each sample show. Every pattern of samples/ has a row here. */

export type Settings = Readonly<Record<string, SettingValue>>;

export interface View {
  /** Tokens; where `queries` is given, keys. */
  readonly length: number;
  readonly queries?: number;
  readonly set?: Settings;
}

export interface GoldenCase {
  readonly file: string;
  readonly pattern: string;
  /** Pair by pair. */
  readonly pairs: View;
  /** Tile by tile. */
  readonly tiles: View;
  /** Parameters of the schedule, the shader and the statistics; windows and segments of 256 and more. */
  readonly set: Settings;
  readonly lengths: readonly number[];
  /**
   * Waste (pairs issued over pairs needed) that a structured pattern may have; undefined where the edges depend on
   * tables that the writer of the pattern does not control.
   */
  readonly most: number | undefined;
}

export const LENGTHS = [16_384, 1_048_576] as const;

/** The bound of the conformance list, at 64 × 64 tiles. */
const STRUCTURED = 1.35;

type Options = Partial<Omit<GoldenCase, 'file' | 'pattern'>>;

const golden = (name: string, options: Options = {}): GoldenCase => {
  const [file, pattern] = name.split('.');
  return {
    file,
    pattern,
    pairs: { length: 32 },
    tiles: { length: 1024 },
    set: {},
    lengths: LENGTHS,
    most: STRUCTURED,
    ...options,
  };
};

const windowed = (name: string, options: Options = {}): GoldenCase =>
  golden(name, {
    pairs: { length: 32, set: { window: 6 } },
    tiles: { length: 1024, set: { window: 256 } },
    set: { window: 256 },
    ...options,
  });

const longnet = (name: string): GoldenCase =>
  golden(name, {
    pairs: { length: 32, set: { w: [8, 16, 32], r: [1, 2, 4] } },
    tiles: { length: 2048, set: { w: [512, 1024, 2048], r: [1, 2, 4] } },
    set: { w: [2048, 4096, 8192, 16384, 32768], r: [1, 2, 4, 8, 16] },
  });

/** Positions spread over a sequence of 16,384 tokens, in no order that a lattice would catch. */
const spreadGlobals = (count: number): readonly number[] =>
  Array.from({ length: count }, (_, n) => 251 * n + ((n * n * 7) % 64));

export const CASES: readonly GoldenCase[] = [
  golden('dense.dense'),
  golden('dense.causal'),
  golden('dense.cross', { pairs: { length: 32, queries: 12 } }),
  windowed('sliding.sliding'),
  windowed('sliding.sliding_causal'),
  windowed('sliding.window_causal'),
  golden('prefix.prefix', { pairs: { length: 32, set: { prefix: 10 } }, set: { prefix: 256 } }),
  golden('prefix.prefix_batch'),
  golden('longformer.longformer', {
    pairs: { length: 32, set: { window: 4, globals: 3 } },
    set: { window: 256, globals: 64 },
  }),
  windowed('longformer.global_sliding', { most: undefined }),
  golden('bigbird.bigbird', {
    pairs: { length: 32, set: { block: 4, window: 3, globals: 1, random: 1 } },
    tiles: { length: 2048, set: { block: 64, window: 3, globals: 1, random: 3 } },
    set: { block: 64, window: 3, globals: 1, random: 3 },
  }),
  golden('sparse-transformer.strided', {
    pairs: { length: 32, set: { stride: 6 } },
    tiles: { length: 1024, set: { stride: 8 } },
    set: { stride: 256 },
  }),
  golden('sparse-transformer.fixed', {
    pairs: { length: 32, set: { stride: 8, summary: 2 } },
    tiles: { length: 1024, set: { stride: 128, summary: 8 } },
    set: { stride: 256, summary: 8 },
  }),
  golden('dilated.dilated_window', {
    pairs: { length: 32, set: { window: 16, dilation: 4 } },
    tiles: { length: 2048, set: { window: 1024, dilation: 4 } },
    set: { window: 2048, dilation: 8 },
  }),
  golden('dilated.dilated_1d', {
    pairs: { length: 32, set: { window: 3, gap: 2 } },
    tiles: { length: 2048, set: { window: 128, gap: 3 } },
    set: { window: 128, gap: 7 },
  }),
  golden('dilated.dilated_2d', {
    pairs: { length: 32, set: { block: 16, gap: 1 } },
    set: { block: 256, gap: 1 },
  }),
  golden('global-minus-local.global_minus_local', {
    pairs: { length: 32, set: { globals: [0, 1, 17], window: 6 } },
    tiles: { length: 1024, set: { globals: [0, 1, 2, 3, 500], window: 256 } },
    set: { globals: spreadGlobals(64), window: 256 },
  }),
  golden('graph.graph', { most: undefined }),
  golden('graph.graph_weighted', { most: undefined }),
  golden('graph.graph_heads', { most: undefined }),
  golden('graph.graph_blocks', { pairs: { length: 32, set: { block: 4 } }, most: undefined }),
  longnet('longnet.longnet'),
  longnet('longnet.longnet_torchscale'),
  longnet('longnet.longnet_causal'),
  longnet('longnet.longnet_torchscale_causal'),
  golden('documents.documents', { most: undefined }),
  golden('documents.documents_causal', { most: undefined }),
  golden('documents.documents_batch_causal', { most: undefined }),
  golden('shared-prefix.shared_prefix', { most: undefined }),
  golden('shared-prefix.shared_prefix_causal', { most: undefined }),
  golden('neighbourhood.neighbourhood_2d', {
    pairs: { length: 36, set: { width: 6, kernel: 3 } },
    tiles: { length: 4096, set: { width: 64, kernel: 13 } },
    set: { width: 256, kernel: 13 },
    lengths: [16_384, 65_536, 1_048_576],
    // 20 × 20 cells for 8 × 8 queries, each with 13 × 13: 2.37, and 2.65 in tiles of 64.
    most: 2.65,
  }),
  golden('neighbourhood.neighbourhood_3d', {
    pairs: { length: 36, set: { height: 3, width: 4, frames: 3, kernel: 3 } },
    tiles: { length: 4096, set: { height: 16, width: 16, frames: 3, kernel: 5 } },
    set: { height: 32, width: 32, frames: 5, kernel: 5 },
    lengths: [16_384, 65_536, 1_048_576],
    // 8 × 8 × 8 cells for 4 × 4 × 4 queries, each with 5 × 5 × 5: 4.10, less at borders.
    most: 4,
  }),
  golden('butterfly.butterfly'),
  golden('alibi.alibi'),
  golden('alibi.alibi_encoder'),
  golden('alibi.alibi_softcap'),
  golden('softcap.softcap'),
  windowed('softcap.softcap_sliding'),
  golden('sink.sink'),
  windowed('sink.sink_sliding'),
  golden('relative-bias.relative_bias'),
  golden('speculative.speculative', {
    pairs: { length: 32, set: { nodes: 8 } },
    set: { nodes: 64 },
    most: undefined,
  }),
];
