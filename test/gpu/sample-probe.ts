import { compilePattern } from '../../compiler/compile.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import { run, tensor, type Program, type TensorOf } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import {
  bindProblem,
  lowerSample,
  settingsFor,
  type Problem,
  type ProblemShape,
} from '../differential/problems.js';
import { trueMultiplicity } from '../differential/schedule-edges.js';
import { randomNumbers } from '../sample-tables.js';
import { LENGTHS, SAMPLES, type SampleCase } from '../shapes.js';

/**
 * What norms don't see, on the device: the edge set itself, and what NaN may reach. One compiled program serves all runs
 * of a sample, since lengths are dynamic and pipelines are slow to compile on software devices.
 */

/** Columns of v in the probe: a number that sums to something else for almost every wrong edge set. */
const COLUMNS = 16;

export interface ProbeCase {
  readonly sample: SampleCase;
  readonly pattern: Pattern;
  readonly set: SampleCase['settings'][number]['set'];
  readonly shape: ProblemShape;
}

/** Each sample at its first setting, two tiles and a ragged rest long; `part` of `parts` of them. */
export function probeCases(part: number, parts: number): readonly ProbeCase[] {
  return SAMPLES.filter((_, n) => n % parts === part).map((sample) => {
    const [setting] = sample.settings;
    const isGrid = setting.lengths !== LENGTHS;
    const suitable = setting.lengths.filter((n) => n > 64 && n < 260);
    const keys = isGrid ? (suitable[0] ?? setting.lengths[0]) : 150;
    const heads = Math.max(2, sample.heads);
    return {
      sample,
      pattern: lowerSample(sample, setting.set),
      set: setting.set,
      shape: { batch: 1, heads, keyHeads: heads, queries: keys, keys },
    };
  });
}

/** The pattern with every score 0 where q is 0, and no sink. */
function neutral(pattern: Pattern): Pattern {
  return { ...pattern, score: undefined, mix: { kind: 'softmax', sink: undefined } };
}

export interface Prober {
  /** lse = log Σm, and the sums over v give back the edge set. Returns what is wrong. */
  maskProbe(): Promise<readonly string[]>;
  /** NaN and infinity in k and v reach exactly the queries with an edge to them. */
  nanRule(): Promise<readonly string[]>;
  /** Rows past the sequences' ends may hold anything. */
  padding(): Promise<readonly string[]>;
}

export function prober(device: GPUDevice, { sample, pattern: own, set, shape }: ProbeCase): Prober {
  const pattern = neutral(own);
  const program: Program = compilePattern(pattern, { dim: 16, valueDim: COLUMNS });
  const settings = settingsFor(sample, pattern, set, shape);
  const problem: Problem = bindProblem(pattern, shape, settings);
  const { heads, keys, queries } = shape;
  const m = trueMultiplicity(pattern, problem.shape, problem.inputs);
  const random = randomNumbers(99);
  const make = (rows: number, next: () => number): TensorOf<'f32'> =>
    tensor('f32', [1, heads, rows, COLUMNS], Float32Array.from({ length: heads * rows * COLUMNS }, next));
  const q = make(queries, () => random() * 2 - 1);
  const k = make(keys, () => random() * 2 - 1);
  const v = make(keys, () => random() * 2 - 1);
  const at = (head: number, row: number): number => (head * queries + row) * COLUMNS;

  return {
    maskProbe: async () => {
      const problems: string[] = [];
      const zero = make(queries, () => 0);
      // Half of the columns are bits of the key's number, half are signs.
      const codes = make(keys, () => 0);
      for (let row = 0; row < heads * keys; row++) {
        for (let c = 0; c < COLUMNS; c++) {
          const j = row % keys;
          codes.data[row * COLUMNS + c] = c < 8 ? (j >> c) & 1 : random() < 0.5 ? -1 : 1;
        }
      }
      const { out, lse } = await run(device, program, { q: zero, k, v: codes, ...settings });
      for (let head = 0; head < heads; head++) {
        for (let row = 0; row < queries; row++) {
          const edges = m[head].subarray(row * keys, (row + 1) * keys);
          const total = edges.reduce((a, b) => a + b, 0);
          const where = `head ${head}, row ${row}`;
          const count = Math.exp(lse.data[head * queries + row]);
          if (Math.abs(count - total) > 1e-4 * total)
            problems.push(`${where}: Σm is ${total}, lse says ${count}`);
          for (let c = 0; c < COLUMNS; c++) {
            let sum = 0;
            for (let j = 0; j < keys; j++)
              if (edges[j]) sum += edges[j] * codes.data[(head * keys + j) * COLUMNS + c];
            const found = out.data[at(head, row) + c] * total;
            if (!(Math.abs(found - sum) < 0.1))
              problems.push(`${where}, column ${c}: ${sum} expected, ${found} found`);
          }
        }
      }
      return problems;
    },

    nanRule: async () => {
      const problems: string[] = [];
      const clean = await run(device, program, { q, k, v, ...settings });
      // Few enough rows that most queries have no edge to one of them; infinities too.
      const bad = new Set([Math.floor(keys / 3), keys - 1]);
      const values = [NaN, Infinity, -Infinity];
      const spoil = (t: TensorOf<'f32'>, rows: ReadonlySet<number>): TensorOf<'f32'> => {
        const data = t.data.slice();
        for (let head = 0; head < heads; head++) {
          for (const j of rows) data[(head * keys + j) * COLUMNS + (j % COLUMNS)] = values[(head + j) % 3];
        }
        return tensor('f32', t.shape, data);
      };
      for (const [name, tensors] of [
        ['k', { q, k: spoil(k, bad), v }],
        ['v', { q, k, v: spoil(v, bad) }],
      ] as const) {
        const got = await run(device, program, { ...tensors, ...settings });
        for (let head = 0; head < heads; head++) {
          for (let row = 0; row < queries; row++) {
            const touched = [...bad].some((j) => m[head][row * keys + j] > 0);
            const from = at(head, row);
            const before = clean.out.data.subarray(from, from + COLUMNS);
            const after = got.out.data.subarray(from, from + COLUMNS);
            const lse = [clean.lse.data[head * queries + row], got.lse.data[head * queries + row]];
            const where = `bad ${name}, head ${head}, row ${row}`;
            if (touched && after.every(Number.isFinite)) problems.push(`${where}: no sign of it`);
            if (!touched && (after.some((x, c) => x !== before[c]) || lse[0] !== lse[1])) {
              problems.push(`${where}: changed without an edge`);
            }
          }
        }
      }
      return problems;
    },

    padding: async () => {
      if (problem.shape.grid.length > 0) return [];
      const used = { queries: [Math.ceil(queries * 0.4)], keys: [Math.ceil(keys * 0.7)] };
      const spoil = (t: TensorOf<'f32'>, rows: number, kept: number): TensorOf<'f32'> => {
        const data = t.data.slice();
        for (let head = 0; head < heads; head++) {
          data.fill(NaN, (head * rows + kept) * COLUMNS, (head + 1) * rows * COLUMNS);
        }
        return tensor('f32', t.shape, data);
      };
      // A graph is one of the rows in use; tables are as long as the tensors.
      const short = { ...shape, queries: used.queries[0], keys: used.keys[0] };
      const graphs = pattern.inputs.some((d) => d.type === 'edges');
      const tensors = {
        q: spoil(q, queries, used.queries[0]),
        k: spoil(k, keys, used.keys[0]),
        v: spoil(v, keys, used.keys[0]),
        ...(graphs ? settingsFor(sample, pattern, set, short) : settings),
        lengths: used,
      };
      const got = await run(device, program, tensors);
      const report = compare({ out: got.out.data, lse: got.lse.data }, reference(pattern, tensors));
      return report.pass ? [] : [JSON.stringify(report)];
    },
  };
}
