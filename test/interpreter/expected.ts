/**
 * What each sample means, once more: the formulas of the conformance list, transcribed by hand as plain functions.
 * Nothing here reads the samples.
 */
import type { SettingValue, Tables } from '../shapes.js';
import { drawn } from './permutation.js';

/** One pair, and all that a formula may ask about it. */
export interface Asked {
  readonly b: number;
  readonly h: number;
  readonly i: number;
  readonly j: number;
  /** Keys. */
  readonly n: number;
  readonly heads: number;
  /** A whole-number parameter. */
  readonly p: (name: string) => number;
  /** A list parameter. */
  readonly list: (name: string) => readonly number[];
  /** A table's entry by its flat index. */
  readonly table: (name: string, at: number) => number;
  /** Whether graph `name` (of several, the `which`-th) has the edge a → b, searched in the raw CSR. */
  readonly edge: (name: string, a: number, b: number, which?: number) => boolean;
}

export function asked(
  set: Readonly<Record<string, SettingValue>>,
  tables: Tables,
  n: number,
  heads: number,
): Omit<Asked, 'b' | 'h' | 'i' | 'j'> {
  return {
    n,
    heads,
    p: (name) => Number(set[name]),
    list: (name) => set[name] as readonly number[],
    table: (name, at) => tables[name].data[at],
    edge: (name, a, b, which = 0) => {
      const { shape, data } = tables[`${name}.row_ptr`];
      const rows = shape[shape.length - 1];
      if (a < 0 || a >= rows - 1) return false;
      const columns = tables[`${name}.col_idx`].data;
      return columns.slice(data[which * rows + a], data[which * rows + a + 1]).includes(b);
    },
  };
}

const block = (x: number, size: number): number => Math.floor(x / size);
const modulo = (x: number, m: number): number => ((x % m) + m) % m;
const distance = (a: Asked): number => Math.abs(a.i - a.j);

/** Branches of LongNet that hold a pair; `offset` is the head's for a rate. */
function branches(a: Asked, offset: (rate: number) => number): number {
  return a.list('w').filter((w, n) => {
    const r = a.list('r')[n];
    const [x, y] = [(a.i % w) % r, (a.j % w) % r];
    return block(a.i, w) === block(a.j, w) && x === offset(r) && y === offset(r);
  }).length;
}

const paper = (a: Asked): number => branches(a, (r) => a.h % r);
/** heads rounded up to a multiple of r, divided by r: how many heads share an offset. */
const torchscale = (a: Asked): number =>
  branches(a, (r) => Math.floor(a.h / ((Math.ceil(a.heads / r) * r) / r)));

function neighbours(a: Asked, sizes: readonly number[], reach: readonly number[]): boolean {
  let [x, y] = [a.i, a.j];
  for (let axis = sizes.length - 1; axis >= 0; axis--) {
    if (Math.abs((x % sizes[axis]) - (y % sizes[axis])) > reach[axis]) return false;
    [x, y] = [block(x, sizes[axis]), block(y, sizes[axis])];
  }
  return true;
}

const sameDocument = (a: Asked): boolean => a.table('doc', a.i) === a.table('doc', a.j);
const causal = (a: Asked): boolean => a.j <= a.i;

/** Multiplicity of a pair, by pattern. */
export const EXPECTED: Readonly<Record<string, (a: Asked) => number | boolean>> = {
  dense: () => true,
  causal,
  cross: () => true,
  sliding: (a) => distance(a) <= a.p('window'),
  sliding_causal: (a) => a.i - a.j >= 0 && a.i - a.j <= a.p('window'),
  window_causal: (a) => a.i - a.j >= 0 && a.i - a.j < a.p('window'),
  prefix: (a) => a.j < a.p('prefix') || a.j <= a.i,
  prefix_batch: (a) => a.j < a.table('prompt', a.b) || a.j <= a.i,
  longformer: (a) => distance(a) <= a.p('window') || a.j < a.p('globals') || a.i < a.p('globals'),
  global_sliding: (a) => distance(a) <= a.p('window') || a.table('g', a.i) === 1 || a.table('g', a.j) === 1,
  bigbird: (a) => {
    const size = a.p('block');
    const [I, J] = [block(a.i, size), block(a.j, size)];
    if (Math.abs(I - J) <= Math.floor(a.p('window') / 2)) return true;
    if (I < a.p('globals') || J < a.p('globals')) return true;
    return drawn(J, a.p('random'), block(a.n, size), a.p('seed') || 0, [a.h, I]);
  },
  strided: (a) => causal(a) && (modulo(a.i - a.j, a.p('stride')) === 0 || a.i - a.j < a.p('stride')),
  fixed: (a) => {
    const s = a.p('stride');
    return causal(a) && (block(a.i, s) === block(a.j, s) || a.j % s >= s - a.p('summary'));
  },
  dilated_window: (a) => {
    const back = a.i - a.j;
    return back >= 0 && back <= a.p('window') && back % a.p('dilation') === 0;
  },
  dilated_1d: (a) => {
    const step = a.p('gap') + 1;
    return distance(a) <= a.p('window') * step && distance(a) % step === 0;
  },
  dilated_2d: (a) => {
    const [B, step] = [a.p('block'), a.p('gap') + 1];
    return block(a.i, B) === block(a.j, B) && (a.i % B) % step === 0 && (a.j % B) % step === 0;
  },
  global_minus_local: (a) => {
    const G = a.list('globals');
    return (G.includes(a.i) || G.includes(a.j)) && distance(a) > a.p('window');
  },
  graph: (a) => a.edge('bonds', a.i, a.j),
  graph_weighted: (a) => a.edge('bonds', a.i, a.j),
  graph_heads: (a) => a.edge('bonds', a.i, a.j, a.h),
  graph_blocks: (a) => a.edge('blocks', block(a.i, a.p('block')), block(a.j, a.p('block'))),
  longnet: paper,
  longnet_torchscale: torchscale,
  longnet_causal: (a) => (causal(a) ? paper(a) : 0),
  longnet_torchscale_causal: (a) => (causal(a) ? torchscale(a) : 0),
  documents: sameDocument,
  documents_causal: (a) => causal(a) && sameDocument(a),
  documents_batch_causal: (a) =>
    causal(a) && a.table('doc', a.b * a.n + a.i) === a.table('doc', a.b * a.n + a.j),
  shared_prefix: (a) => sameDocument(a) || a.table('doc', a.j) === (a.p('prefix') || 0),
  shared_prefix_causal: (a) => causal(a) && (sameDocument(a) || a.table('doc', a.j) === (a.p('prefix') || 0)),
  neighbourhood_2d: (a) => {
    const [w, k] = [a.p('width'), Math.floor(a.p('kernel') / 2)];
    return neighbours(a, [a.n / w, w], [k, k]);
  },
  neighbourhood_3d: (a) => {
    const [h, w, k] = [a.p('height'), a.p('width'), Math.floor(a.p('kernel') / 2)];
    return neighbours(a, [a.n / (h * w), h, w], [Math.floor(a.p('frames') / 2), k, k]);
  },
  butterfly: (a) => {
    const differing = a.i ^ a.j;
    return (differing & (differing - 1)) === 0;
  },
  alibi: causal,
  alibi_encoder: () => true,
  alibi_softcap: causal,
  softcap: causal,
  softcap_sliding: (a) => causal(a) && a.i - a.j < a.p('window'),
  sink: causal,
  sink_sliding: (a) => causal(a) && a.i - a.j < a.p('window'),
  relative_bias: () => true,
  speculative: (a) => {
    const nodes = a.p('nodes');
    const start = a.n - nodes;
    if (a.j < start) return causal(a);
    return a.i >= start && a.table('ancestor', (a.i - start) * nodes + (a.j - start)) === 1;
  },
};

/** softcap(x, c) = c tanh(x / c) */
const capped = (x: number, c: number): number => c * Math.tanh(x / c);

/** Scores that are not dot(q, k) · scale, given x = dot(q, k) · scale. */
export const EXPECTED_SCORES: Readonly<Record<string, (a: Asked, x: number) => number>> = {
  graph_weighted: (a, x) => {
    const { p, table, i, j } = a;
    const strength = Number.isNaN(p('strength')) ? 1 : p('strength');
    for (let e = table('bonds.row_ptr', i); e < table('bonds.row_ptr', i + 1); e++) {
      if (table('bonds.col_idx', e) === j) return x + strength * table('bonds.weight', e);
    }
    return x;
  },
  alibi: (a, x) => x - a.table('slope', a.h) * distance(a),
  alibi_encoder: (a, x) => x - a.table('slope', a.h) * distance(a),
  alibi_softcap: (a, x) => capped(x - a.table('slope', a.h) * distance(a), a.p('cap') || 20),
  softcap: (a, x) => capped(x, a.p('cap') || 50),
  softcap_sliding: (a, x) => capped(x, a.p('cap') || 50),
  relative_bias: (a, x) => {
    const m = a.p('m');
    return x + a.table('table', a.h * (2 * m + 1) + Math.max(-m, Math.min(m, a.i - a.j)) + m);
  },
};

export const EXPECTED_SINKS: Readonly<Record<string, (a: Asked) => number>> = {
  sink: (a) => a.table('sinks', a.h),
  sink_sliding: (a) => a.table('sinks', a.h),
};
