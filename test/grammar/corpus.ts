/** Texts that the grammar's tests read: each construct of the language, and the samples. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileAst } from '../../grammar/index.js';

const texts: readonly string[] = [
  '',
  '// only a comment',
  'pattern dense { i -> j }',
  `/// Longformer: a sliding window, plus a few tokens that see and are seen by all.
pattern longformer(window: int = 256, globals: int = 64) {
  local:   i -> j when abs(i - j) <= window
  readers: i -> j when j < globals // readers
  readees: i -> j when i < globals
}
`,
  `import "base.attn"
import "more/windows.attn";
pattern all(w: int[] = [64, 128,], r: float in 0.5 .. 1e3 = 1.5, /// a flag
  flag: bool = true,) {
  tokens (y: 16, x: ?)
  input doc: int[tokens]
  /// Slopes, one a head.
  input slope: float[heads]
  input bias: float[heads, 2 * m + 1]
  input bonds: edges
  input blocks: edges[batch, heads]
  align start; overlaps add
  restrict j <= i and doc[i] == doc[j]
  for (a, b) in zip(w, [1, 2]) { i -> j in i - a ..< i step b }
  for x in [1, 2, 3] { for n in 0 ..< 4 step 2 { one: i -> j when i % x == n } }
  near: { let d = abs(i.y - j.y) i -> j when d <= 3 and abs(i.x - j.x) <= y.size div 2 }
  deep: { deeper: { i -> j in 0 .. 3 } { i -> j } }
  other: include longformer(3, globals: -1)
  include dense
  g: i -> j when bonds[i, j] or blocks[i div 64, j div 64] or i in sample(3, keys, 0x5eed, head)
  score = dot(q, k) * scale - slope[head] * abs(i - j) ** 2 / -bonds.weight[i, j]
  mix = softmax(sink: bias[head, 0])
}
`,
  `pattern names(i: int = 1, sample: int = 2, tokens: int = 3, softmax: int = 4, edges: int = 5) {
  let merge = int + float
  let start = [i, j][0] + (x).y + f(a)[b, c].d
  tokens: i -> j when not not (0 <= i - j < merge) and - -i != start or tokens == 3
  /* a block
     comment */
  add: i -> j /* behind */ in /* inside */ 0 .. 4 // at the end
  /// loose

  let y = popcount(bitxor(i, j)) <= 1
}
// the end`,
];

/** All `.attn` files under `samples/`, those that are meant to be broken among them. */
function sampleTexts(folder = 'samples'): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sampleTexts(path);
    return entry.name.endsWith('.attn') ? [readFileSync(path, 'utf8')] : [];
  });
}

export const correctTexts = texts;

export function corpus(): readonly string[] {
  return [...texts, ...sampleTexts()];
}

/** The tree as text without spans and comments, for comparing. */
export function withoutSpans(ast: FileAst): string {
  return JSON.stringify(
    ast,
    (key, value: unknown) => (key === 'span' || key === 'comments' ? undefined : value),
    1,
  );
}
