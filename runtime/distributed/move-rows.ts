import { clipRun, keysInRun, type KeyRun } from '../../compiler/ir/key-runs.js';
import type { AttncError } from '../errors.js';
import { scoped } from '../scopes.js';
import { workgroupGrid } from '../stream/device-windows.js';
import type { RowRange } from './layout.js';

/** Packs rows that lie in runs, and puts packed rows back at their places, on the device. */

/** Rows of one head in a buffer. */
export interface RowsAt {
  readonly buffer: GPUBuffer;
  /** Bytes from the buffer's start to row `rows.lo`; a multiple of 16. */
  readonly offset: number;
  readonly rows: RowRange;
}

export interface Move {
  /** Where the rows of the runs lie spread; those that lie elsewhere are left out. */
  readonly spread: RowsAt;
  readonly runs: readonly KeyRun[];
  /** A multiple of 16. */
  readonly rowBytes: number;
  /** Byte in the packed buffer at which the first run's first row is; a multiple of 16. */
  readonly at: number;
}

/** Moves, as the kernels read them. */
export interface MoveTable {
  readonly words: Uint32Array<ArrayBuffer>;
  /** One dispatch each: moves whose rows are of one length and lie in one buffer. */
  readonly parts: readonly MovePart[];
}

interface MovePart {
  readonly spread: GPUBuffer;
  /** Of the table, in bytes. */
  readonly offset: number;
  readonly size: number;
  readonly quads: number;
}

export interface RowMover {
  /**
   * From their places to the packed buffer. The words of the table must have been written to a buffer: nothing is made
   * here, as making a buffer that is mapped takes drivers a millisecond or more.
   */
  pack(pass: GPUComputePassEncoder, table: MoveTable, written: GPUBuffer, packed: GPUBuffer): void;
  /** The other way round. */
  unpack(pass: GPUComputePassEncoder, table: MoveTable, written: GPUBuffer, packed: GPUBuffer): void;
  /** Whether the kernels compile. */
  readonly problem: Promise<AttncError | undefined>;
}

const WORKGROUP = 64;
/** Parts of a table begin where any device can bind them. */
const ALIGNMENT = 256;
const HEAD_WORDS = 4;
const RUN_WORDS = 4;

export function createRowMover(device: GPUDevice): RowMover {
  const { result: pipelines, problem } = scoped(device, 'the kernels that pack rows', () => {
    const make = (
      label: string,
      copy: string,
    ): { pipeline: GPUComputePipeline; layout: GPUBindGroupLayout } => {
      const module = device.createShaderModule({ label, code: shader(copy) });
      const compute = { module, entryPoint: 'main' };
      const pipeline = device.createComputePipeline({ label, layout: 'auto', compute });
      return { pipeline, layout: pipeline.getBindGroupLayout(0) };
    };
    return {
      pack: make('attnc pack rows', 'to_quads[packed] = from_quads[spread];'),
      unpack: make('attnc unpack rows', 'to_quads[spread] = from_quads[packed];'),
    };
  });
  const record =
    (name: keyof typeof pipelines): RowMover['pack'] =>
    (pass, { parts }, written, packed) => {
      const { pipeline, layout } = pipelines[name];
      pass.setPipeline(pipeline);
      for (const { spread, offset, size, quads } of parts) {
        const [from, to] = name === 'pack' ? [spread, packed] : [packed, spread];
        const entries = [
          { binding: 0, resource: { buffer: written, offset, size } },
          { binding: 1, resource: { buffer: from } },
          { binding: 2, resource: { buffer: to } },
        ];
        pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
        const count = Math.ceil(quads / WORKGROUP);
        const most = device.limits.maxComputeWorkgroupsPerDimension;
        pass.dispatchWorkgroups(...workgroupGrid(count, most));
      }
    };
  return { pack: record('pack'), unpack: record('unpack'), problem };
}

export function tableOf(moves: readonly Move[]): MoveTable {
  const alike = new Map<GPUBuffer, Map<number, number[]>>();
  for (const { spread, runs, rowBytes, at } of moves) {
    const { buffer, offset, rows } = spread;
    const lengths = alike.get(buffer) ?? new Map<number, number[]>();
    alike.set(buffer, lengths);
    const entries = lengths.get(rowBytes) ?? [];
    lengths.set(rowBytes, entries);
    const quads = rowBytes / 16;
    let packed = 0;
    for (const run of runs) {
      const there = clipRun(run, rows.lo, rows.hi - 1);
      if (there) {
        const first = packed + (there.lo - run.lo) / run.step;
        const place = offset / 16 + (there.lo - rows.lo) * quads;
        entries.push(keysInRun(there), at / 16 + first * quads, place, there.step * quads);
      }
      packed += keysInRun(run);
    }
  }
  const parts: MovePart[] = [];
  const words: number[] = [];
  for (const [spread, lengths] of alike) {
    for (const [rowBytes, entries] of lengths) {
      if (entries.length === 0) continue;
      while (words.length % (ALIGNMENT / 4) !== 0) words.push(0);
      const begin = words.length;
      const quads = rowBytes / 16;
      words.push(0, quads, entries.length / RUN_WORDS, 0);
      let rows = 0;
      for (let n = 0; n < entries.length; n += RUN_WORDS) {
        words.push(rows, entries[n + 1], entries[n + 2], entries[n + 3]);
        rows += entries[n];
      }
      words[begin] = rows * quads;
      parts.push({ spread, offset: 4 * begin, size: 4 * (words.length - begin), quads: rows * quads });
    }
  }
  return { words: Uint32Array.from(words), parts };
}

/** Most bytes of a table of so many runs, that lie in so many buffers. */
export const tableBytes = (runs: number, buffers: number): number =>
  4 * RUN_WORDS * runs + buffers * (4 * HEAD_WORDS + ALIGNMENT);

const shader = (copy: string): string => `// Moves rows, 16 bytes an invocation.
// table[0]: quads to move, quads of a row, number of runs.
// Then a run each: rows before it, its first packed quad, its first spread quad, its step in quads.
@group(0) @binding(0) var<storage, read> table: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> from_quads: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> to_quads: array<vec4<u32>>;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let n = id.x + id.y * groups.x * ${WORKGROUP}u;
  let shape = table[0];
  if (n >= shape.x) {
    return;
  }
  let row = n / shape.y;
  let column = n % shape.y;
  // The last run that begins at this row or before.
  var low = 0u;
  var high = shape.z;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (table[1u + middle].x <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  let run = table[1u + low];
  let packed = run.y + (row - run.x) * shape.y + column;
  let spread = run.z + (row - run.x) * run.w + column;
  ${copy}
}
`;
