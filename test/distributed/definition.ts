/** What ranks must send each other, pair by pair from the definition. */
import type { Pattern } from '../../compiler/ir/edges.js';
import { shardCuts } from '../../runtime/distributed/index.js';
import type { Problem } from '../differential/problems.js';
import { trueMultiplicity } from '../differential/schedule-edges.js';

/** Bytes by sender and receiver: a key row of a key head goes to each other rank that has a query for it, once. */
export function bytesByDefinition(
  pattern: Pattern,
  { shape, inputs }: Problem,
  ranks: number,
  rowBytes: number,
): readonly (readonly number[])[] {
  const cuts = [Math.max(...shape.queries), Math.max(...shape.keys)].map((n) => shardCuts(n, ranks));
  const rankOf = (cut: readonly number[], row: number): number => cut.findIndex((_, r) => row < cut[r + 1]);
  const [queryCuts, keyCuts] = cuts;
  const truth = trueMultiplicity(pattern, shape, inputs);
  const needed = new Set<string>();
  const bytes = Array.from({ length: ranks }, () => new Array<number>(ranks).fill(0));
  for (let b = 0; b < shape.batch; b++) {
    for (let h = 0; h < shape.heads; h++) {
      const matrix = truth[b * shape.heads + h];
      const keyHead = Math.floor(h / (shape.heads / shape.keyHeads));
      for (let t = 0; t < shape.queries[b]; t++) {
        const to = rankOf(queryCuts, t);
        for (let j = 0; j < shape.keys[b]; j++) {
          if (matrix[t * shape.keys[b] + j] === 0) continue;
          const name = `${to} ${b} ${keyHead} ${j}`;
          if (needed.has(name)) continue;
          needed.add(name);
          const from = rankOf(keyCuts, j);
          if (from !== to) bytes[from][to] += rowBytes;
        }
      }
    }
  }
  return bytes;
}
