// Subgroup matrices do on this device what our kernels take them to do: every configuration with f16 factors
// multiplies right, from storage and from padded tiles in workgroup memory.

import { matrixConfigsOf, type MatrixConfig } from '../../runtime/node/adapter.js';
import { f16Array, f16ToFloat32 } from '../../runtime/half.js';
import { runCompute } from '../devices/run-compute.js';
import { matrixTest, opened } from './matrix-device.js';

const f16Configs = (): readonly MatrixConfig[] =>
  matrixConfigsOf(opened.adapter).filter((c) => c.componentType === 'f16');

matrixTest('matrices of f16 give f32, in a shape that the kernels are written for', (t) => {
  const shapes = f16Configs()
    .filter((c) => c.resultComponentType === 'f32')
    .map(({ m, n, k }) => `${m}×${n}×${k}`);
  t.log(shapes.join(', '), `subgroups of ${opened.adapter.info.subgroupMaxSize}`);
  t.true(shapes.includes('8×8×8') || shapes.includes('16×16×16'));
  if (opened.kind === 'lavapipe') t.deepEqual(shapes, ['8×8×8']);
});

interface Way {
  readonly name: string;
  /** Shape of the product: so many matrices down, across, and summed over. */
  readonly tiles: readonly [down: number, across: number, deep: number];
  /** Whether b is given transposed, as keys are. */
  readonly transposed: boolean;
  /** f16 values after each row of the tiles in workgroup memory; null: straight from storage. */
  readonly padding: number | null;
}

const WAYS: readonly Way[] = [
  { name: 'one product, from storage', tiles: [1, 1, 1], transposed: false, padding: null },
  { name: 'a sum of products, from storage', tiles: [2, 1, 3], transposed: false, padding: null },
  { name: 'b transposed, from storage', tiles: [1, 2, 2], transposed: true, padding: null },
  { name: 'from workgroup memory', tiles: [2, 2, 2], transposed: false, padding: 0 },
  { name: 'from padded rows of vec4', tiles: [2, 2, 2], transposed: true, padding: 8 },
];

for (const way of WAYS) {
  matrixTest(way.name, async (t) => {
    const size = opened.adapter.info.subgroupMaxSize ?? 0;
    for (const c of f16Configs()) {
      const [rows, columns, depth] = [way.tiles[0] * c.m, way.tiles[1] * c.n, way.tiles[2] * c.k];
      // Small whole numbers, so that f16 holds every sum.
      const a = Array.from({ length: rows * depth }, (_, at) => ((at * 7) % 11) - 5);
      const b = Array.from({ length: depth * columns }, (_, at) => ((at * 5) % 13) - 6);
      const laid = way.transposed ? a2d(columns, depth, (x, y) => b[y * columns + x]!) : b;
      const result = c.resultComponentType === 'f32' ? rows * columns : (rows * columns) / 2;
      const out = await runCompute(
        opened.device,
        shaderOf(c, way, size),
        [asFloats(f16Array(a)), asFloats(f16Array(laid))],
        result,
        1,
      );
      const got =
        c.resultComponentType === 'f32' ? out : f16ToFloat32(new Uint16Array(out.buffer as ArrayBuffer));
      const expected = a2d(rows, columns, (i, j) => {
        let sum = 0;
        for (let d = 0; d < depth; d++) sum += a[i * depth + d]! * b[d * columns + j]!;
        return sum;
      });
      t.deepEqual([...got], expected, JSON.stringify(c));
    }
  });
}

function a2d(rows: number, columns: number, at: (row: number, column: number) => number): number[] {
  return Array.from({ length: rows * columns }, (_, n) => at(Math.floor(n / columns), n % columns));
}

function asFloats(bits: Uint16Array): Float32Array<ArrayBuffer> {
  return new Float32Array(Uint16Array.from(bits).buffer);
}

/** One subgroup that computes a·b; workgroup memory is laid out in vec4<u32>, 8 values of f16 each. */
function shaderOf(c: MatrixConfig, { tiles, transposed, padding }: Way, size: number): string {
  const [down, across, deep] = tiles;
  const [rows, columns, depth] = [down * c.m, across * c.n, deep * c.k];
  // Rows of b as they are stored, and how long each is.
  const [bRows, bLength] = transposed ? [columns, depth] : [depth, columns];
  const kinds = { left: `f16, ${c.k}, ${c.m}`, right: `f16, ${c.n}, ${c.k}` };
  const resultKind = `${c.resultComponentType}, ${c.n}, ${c.m}`;
  const major = transposed ? 'col_major' : 'row_major';
  // Offsets and strides count the elements of the array that is loaded from.
  const unit = padding === null ? 1 : 8;
  const [aStride, bStride] = [(depth + (padding ?? 0)) / unit, (bLength + (padding ?? 0)) / unit];
  const bOffset = transposed
    ? `j * ${c.n * bStride}u + d * ${c.k / unit}u`
    : `d * ${c.k * bStride}u + j * ${c.n / unit}u`;
  const [aFrom, bFrom] = padding === null ? ['a', 'b'] : ['aTile', 'bTile'];
  const stage = (from: string, to: string, count: number, length: number, stride: number): string =>
    padding === null
      ? ''
      : `for (var x = lane; x < ${(count * length) / 8}u; x += ${size}u) {
    ${to}[x / ${length / 8}u * ${stride}u + x % ${length / 8}u] = ${from}[x];
  }`;
  const element = padding === null ? 'f16' : 'vec4<u32>';
  return `
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

@group(0) @binding(0) var<storage, read> a: array<${element}>;
@group(0) @binding(1) var<storage, read> b: array<${element}>;
@group(0) @binding(2) var<storage, read_write> out: array<${c.resultComponentType}>;
${
  padding === null
    ? ''
    : `var<workgroup> aTile: array<vec4<u32>, ${rows * aStride}>;
var<workgroup> bTile: array<vec4<u32>, ${bRows * bStride}>;`
}

@compute @workgroup_size(${size})
fn main(@builtin(local_invocation_index) lane: u32) {
  ${stage('a', 'aTile', rows, depth, aStride)}
  ${stage('b', 'bTile', bRows, bLength, bStride)}
  workgroupBarrier();
  for (var i = 0u; i < ${down}u; i++) {
    for (var j = 0u; j < ${across}u; j++) {
      var sum = subgroup_matrix_result<${resultKind}>();
      for (var d = 0u; d < ${deep}u; d++) {
        let left = subgroupMatrixLoad<subgroup_matrix_left<${kinds.left}>, row_major>(
          &${aFrom}, i * ${c.m * aStride}u + d * ${c.k / unit}u, ${aStride}u);
        let right = subgroupMatrixLoad<subgroup_matrix_right<${kinds.right}>, ${major}>(
          &${bFrom}, ${bOffset}, ${bStride}u);
        sum = subgroupMatrixMultiplyAccumulate(left, right, sum);
      }
      subgroupMatrixStore<row_major>(&out, i * ${c.m * columns}u + j * ${c.n}u, sum, ${columns}u);
    }
  }
}`;
}
