import type { MatrixConfig } from '../../runtime/node/index.js';

/** Kernels that show a device's limits: operands at binding 0, results at binding 1. */

const INVOCATIONS = 256;
/** vec4s that an invocation copies. */
const COPIES = 4;

export const COPY = { bytesAWorkgroup: 16 * INVOCATIONS * COPIES } as const;

export const copyWgsl = (): string => `
@group(0) @binding(0) var<storage, read> from_: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> to_: array<vec4<f32>>;

@compute @workgroup_size(${INVOCATIONS})
fn copy(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * ${INVOCATIONS * COPIES}u + lane;
  for (var n = 0u; n < ${COPIES}u; n++) {
    to_[first + n * ${INVOCATIONS}u] = from_[first + n * ${INVOCATIONS}u];
  }
}
`;

/** Sums side by side, so that none waits for its own last addition. */
const SUMS = 8;

/** An iteration multiplies and adds four numbers for each sum. */
export const FMA = { invocations: INVOCATIONS, flopsAnIteration: SUMS * 4 * 2 } as const;

export const fmaWgsl = (): string => {
  const sums = Array.from({ length: SUMS }, (_, n) => n);
  return `
override iterations: u32 = 1;
@group(0) @binding(0) var<storage, read> operands: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<f32>>;

@compute @workgroup_size(${INVOCATIONS})
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let a = operands[lane % 32u];
  let b = operands[32u + lane % 32u];
${sums.map((n) => `  var s${n} = f32(${n}) * b;`).join('\n')}
  for (var n = 0u; n < iterations; n++) {
${sums.map((n) => `    s${n} = fma(s${n}, a, b);`).join('\n')}
  }
  results[id.x] = ${sums.map((n) => `s${n}`).join(' + ')};
}
`;
};

export const MATRIX = {
  feature: 'chromium-experimental-subgroup-matrix',
  invocations: 128,
  /** Result matrices of a subgroup: two left operands times four right ones. */
  sums: 8,
} as const;

export const matrixWgsl = ({ m, n, k }: MatrixConfig): string => {
  const left = [0, 1];
  const right = [0, 1, 2, 3];
  const all = left.flatMap((a) =>
    right.map((b) => ({ a, b, sum: `s${a}${b}`, index: a * right.length + b })),
  );
  return `
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

alias Left = subgroup_matrix_left<f16, ${k}, ${m}>;
alias Right = subgroup_matrix_right<f16, ${n}, ${k}>;
alias Sum = subgroup_matrix_result<f32, ${n}, ${m}>;

override iterations: u32 = 1;
@group(0) @binding(0) var<storage, read> operands: array<f16>;
@group(0) @binding(1) var<storage, read_write> results: array<f32>;

@compute @workgroup_size(${MATRIX.invocations})
fn multiply(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_size) size: u32,
) {
${left.map((a) => `  let a${a} = subgroupMatrixLoad<Left, row_major>(&operands, ${a * m * k}u, ${k}u);`).join('\n')}
${right.map((b) => `  let b${b} = subgroupMatrixLoad<Right, row_major>(&operands, ${2 * m * k + b * n * k}u, ${n}u);`).join('\n')}
${all.map(({ sum }) => `  var ${sum}: Sum;`).join('\n')}
  for (var n = 0u; n < iterations; n++) {
${all.map(({ a, b, sum }) => `    ${sum} = subgroupMatrixMultiplyAccumulate(a${a}, b${b}, ${sum});`).join('\n')}
  }
  let subgroup = subgroupBroadcastFirst(group.x * (${MATRIX.invocations}u / size) + lane / size);
  let first = subgroup * ${all.length * m * n}u;
${all.map(({ sum, index }) => `  subgroupMatrixStore<row_major>(&results, first + ${index * m * n}u, ${sum}, ${n}u);`).join('\n')}
}
`;
};
