import type { Pattern } from '../../compiler/ir/edges.js';
import type { HostTensors, Settings } from '../../runtime/bindings.js';
import type { RunResult } from '../../runtime/index.js';
import { tensor } from '../../runtime/tensor.js';
import { inputTensors, type ProblemShape } from '../differential/problems.js';
import type { Tables } from '../shapes.js';

/**
 * The mask probe: with q = 0 and a neutral score every edge weighs m / Σm, so values that encode the key's number give
 * back m of every pair. A column of v holds KEYS_A_COLUMN keys, as digits to the base 8: m is less than 8.
 */

const KEYS_A_COLUMN = 5;
const BASE = 8;

/** Tables without influence on the score: floats are 0, and sinks too low to count. */
export function neutralInputs(pattern: Pattern, tables: Tables): Settings['inputs'] {
  const neutral = Object.entries(tables).map(([name, table]) => {
    const isFloat = pattern.inputs.some((d) => d.name === name && d.type === 'float');
    if (!isFloat && !name.endsWith('.weight')) return [name, table] as const;
    const value = pattern.mix.sink ? -1e4 : 0;
    return [name, { ...table, data: table.data.map(() => value) }] as const;
  });
  return inputTensors(pattern, Object.fromEntries(neutral));
}

export interface Probe {
  readonly tensors: HostTensors;
  /** Adds what a run gave to the multiplicities: one matrix of queries × keys for each (batch, head). */
  readonly read: (result: RunResult, into: readonly Uint16Array[]) => void;
}

/** The runs that find every pair: each looks at as many keys as v has room for. */
export function probesOf(
  shape: ProblemShape,
  dim: number,
  valueDim: number,
  settings: Settings,
): readonly Probe[] {
  const { batch, heads, keyHeads = heads, queries, keys } = shape;
  const each = valueDim * KEYS_A_COLUMN;
  return Array.from({ length: Math.ceil(keys / each) }, (_, n): Probe => {
    const first = n * each;
    const v = new Float32Array(batch * keyHeads * keys * valueDim);
    for (let line = 0; line < batch * keyHeads; line++) {
      for (let j = first; j < Math.min(first + each, keys); j++) {
        const digit = (j - first) % KEYS_A_COLUMN;
        const column = Math.floor((j - first) / KEYS_A_COLUMN);
        v[(line * keys + j) * valueDim + column] = BASE ** digit;
      }
    }
    const tensors: HostTensors = {
      ...settings,
      q: tensor('f32', [batch, heads, queries, dim], new Float32Array(batch * heads * queries * dim)),
      // What k is makes no difference.
      k: tensor('f32', [batch, keyHeads, keys, dim], new Float32Array(batch * keyHeads * keys * dim).fill(3)),
      v: tensor('f32', [batch, keyHeads, keys, valueDim], v),
    };
    const read: Probe['read'] = ({ out, lse }, into) => {
      for (let line = 0; line < batch * heads; line++) {
        const used = {
          queries: shape.lengths?.queries[Math.floor(line / heads)] ?? queries,
          keys: shape.lengths?.keys[Math.floor(line / heads)] ?? keys,
        };
        for (let t = 0; t < used.queries; t++) {
          const row = line * queries + t;
          const sum = Math.exp(lse.data[row]);
          for (let column = 0; column < valueDim; column++) {
            // Σ m·v is a whole number below 8⁵; float32 keeps it to 1 in 16 million.
            const digits = out.data[row * valueDim + column] * sum;
            const whole = Math.round(digits);
            if (!(Math.abs(digits - whole) < 0.2))
              throw new Error(`row ${row}: ${digits} is no sum of edges`);
            for (let digit = 0; digit < KEYS_A_COLUMN; digit++) {
              const j = first + column * KEYS_A_COLUMN + digit;
              if (j < used.keys) into[line][t * used.keys + j] = Math.floor(whole / BASE ** digit) % BASE;
            }
          }
        }
      }
    };
    return { tensors, read };
  });
}
