/** Σm of patterns that others computed: FlexAttention and the LongNet authors' code (test/data/reference). */
import test from 'ava';
import { compilePattern, type Shape } from './interpret.js';
import { loadFiles } from './load.js';

interface Reference {
  readonly file: string;
  readonly pattern: string;
  readonly shape: Shape;
  readonly set?: Readonly<Record<string, number | readonly number[]>>;
  readonly edges: number;
}

const square = (batch: number, heads: number, n: number): Shape => ({ batch, heads, queries: n, keys: n });

const references: readonly Reference[] = [
  {
    file: 'longnet',
    pattern: 'longnet_torchscale',
    shape: square(1, 4, 512),
    set: { w: [64, 128, 256, 512], r: [1, 2, 4, 8] },
    edges: 245760,
  },
  {
    file: 'longnet',
    pattern: 'longnet_torchscale_causal',
    shape: square(1, 8, 512),
    set: { w: [64, 128, 256], r: [1, 2, 4] },
    edges: 232960,
  },
  { file: 'dense', pattern: 'causal', shape: square(1, 8, 200), edges: 160800 },
  { file: 'alibi', pattern: 'alibi_softcap', shape: square(1, 4, 130), edges: 34060 },
];

for (const { file, pattern, shape, set, edges } of references) {
  test(`${pattern}: ${edges} edges`, (t) => {
    const tables = { slope: { shape: [shape.heads], data: Array.from({ length: shape.heads }, () => 0) } };
    const it = compilePattern(loadFiles(`samples/${file}.attn`), pattern, { shape, set, tables });
    let sum = 0;
    for (let h = 0; h < shape.heads; h++) {
      for (let i = 0; i < shape.queries; i++)
        for (let j = 0; j < shape.keys; j++) sum += it.multiplicity(0, h, i, j);
    }
    t.is(sum, edges);
  });
}
