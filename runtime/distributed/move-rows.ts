import { clipRun, keysInRun, type KeyRun } from '../../compiler/ir/key-runs.js';
import type { Arena } from '../arena.js';
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

export interface RowMover {
  /** Rows of the runs that lie in `from`, to their places among all rows of the runs, which begin at byte `at`. */
  pack(pass: GPUComputePassEncoder, arena: Arena, from: RowsAt, to: GPUBuffer, move: Move): void;
  /** The other way round. */
  unpack(pass: GPUComputePassEncoder, arena: Arena, from: GPUBuffer, to: RowsAt, move: Move): void;
  /** Whether the kernels compile. */
  readonly problem: Promise<AttncError | undefined>;
}

export interface Move {
  readonly runs: readonly KeyRun[];
  /** A multiple of 16. */
  readonly rowBytes: number;
  /** Byte in the packed buffer at which the first run's first row is; a multiple of 16. */
  readonly at: number;
}

const WORKGROUP = 64;

export function createRowMover(device: GPUDevice): RowMover {
  const { result: pipelines, problem } = scoped(device, 'the kernels that pack rows', () => {
    const make = (label: string, copy: string): GPUComputePipeline =>
      device.createComputePipeline({
        label,
        layout: 'auto',
        compute: { module: device.createShaderModule({ label, code: shader(copy) }), entryPoint: 'main' },
      });
    return {
      pack: make('attnc pack rows', 'to_quads[packed] = from_quads[spread];'),
      unpack: make('attnc unpack rows', 'to_quads[spread] = from_quads[packed];'),
    };
  });
  const record = (
    pass: GPUComputePassEncoder,
    arena: Arena,
    pipeline: GPUComputePipeline,
    buffers: readonly [from: GPUBuffer, to: GPUBuffer],
    spread: RowsAt,
    move: Move,
  ): void => {
    const table = tableOf(spread, move);
    if (!table) return;
    const made = arena.upload('runs of rows', table.words);
    const entries = [made, ...buffers].map((buffer, binding) => ({ binding, resource: { buffer } }));
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    const count = Math.ceil(table.quads / WORKGROUP);
    pass.dispatchWorkgroups(...workgroupGrid(count, device.limits.maxComputeWorkgroupsPerDimension));
  };
  return {
    pack: (pass, arena, from, to, move) => record(pass, arena, pipelines.pack, [from.buffer, to], from, move),
    unpack: (pass, arena, from, to, move) =>
      record(pass, arena, pipelines.unpack, [from, to.buffer], to, move),
    problem,
  };
}

/** The kernel's table, and how many quads it moves; undefined where no run has a row there. */
function tableOf(
  { offset, rows }: RowsAt,
  { runs, rowBytes, at }: Move,
): { readonly words: Uint32Array; readonly quads: number } | undefined {
  const quads = rowBytes / 16;
  const entries: number[] = [];
  let packed = 0;
  let moved = 0;
  for (const run of runs) {
    const there = clipRun(run, rows.lo, rows.hi - 1);
    if (there) {
      entries.push(moved, packed + (there.lo - run.lo) / run.step, there.lo - rows.lo, there.step);
      moved += keysInRun(there);
    }
    packed += keysInRun(run);
  }
  if (moved === 0) return undefined;
  const head = [moved * quads, quads, at / 16, offset / 16, entries.length / 4, 0, 0, 0];
  return { words: Uint32Array.from([...head, ...entries]), quads: moved * quads };
}

const shader = (copy: string): string => `// Moves rows, 16 bytes an invocation.
// table[0]: quads to move, quads of a row, first packed quad, first spread quad; table[1].x: number of runs.
// Then a run each: rows before it, its first packed row, its first spread row, its step.
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
  var high = table[1].x;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (table[2u + middle].x <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  let run = table[2u + low];
  let packed = shape.z + (run.y + row - run.x) * shape.y + column;
  let spread = shape.w + (run.z + (row - run.x) * run.w) * shape.y + column;
  ${copy}
}
`;
