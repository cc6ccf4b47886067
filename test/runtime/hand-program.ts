// Programs made by hand, with a kernel of one thread a query: they test the runtime without the compiler.

import {
  all,
  eq,
  int,
  le,
  lt,
  mod,
  parameter,
  read,
  sub,
  TRUE,
  variable,
  ZERO,
} from '../../compiler/ir/build.js';
import type { InputDeclaration, ParameterDeclaration, Pattern } from '../../compiler/ir/edges.js';
import type { Expr } from '../../compiler/ir/expr.js';
import {
  PROGRAM_VERSION,
  type Binding,
  type Program,
  type StorageType,
  type UniformField,
  type Variant,
} from '../../compiler/ir/program.js';
import { PRELUDES } from '../../compiler/emit/index.js';
import { makeSegment } from '../../compiler/ir/segment.js';
import { rowsSpace } from '../../compiler/ir/space.js';

const I = variable('i');
const J = variable('j');
const origin = { file: 'hand.attn', start: 0, end: 0, text: 'i -> j when …' };

export interface HandOptions {
  readonly name?: string;
  readonly when?: Expr;
  /** The same condition in WGSL, over i, j, batch, head. */
  readonly wgsl?: string;
  /** WGSL functions that it calls. */
  readonly functions?: string;
  readonly inputs?: readonly InputDeclaration[];
  readonly parameters?: readonly ParameterDeclaration[];
  readonly uniforms?: readonly UniformField[];
  readonly dim?: number;
  readonly align?: 'end' | 'start';
  readonly grid?: Pattern['grid'];
  readonly checks?: Pattern['checks'];
  readonly features?: readonly string[];
  /** Storage types that its only variant claims to take. */
  readonly types?: readonly StorageType[];
  readonly limits?: Readonly<Record<string, number>>;
  readonly maxLength?: number;
  readonly plan?: 'kernel' | 'host';
}

const AXES = ['batch', 'head', 'row', 'offset'] as const;
const TENSORS = ['q', 'k', 'v', 'out', 'lse'] as const;

/** A program whose only pass visits all rows and tests every key. */
export function handProgram(options: HandOptions = {}): Program {
  const dim = options.dim ?? 16;
  const when = options.when ?? TRUE;
  const bindings: Binding[] = [
    { binding: 0, name: 'shape', access: 'uniform', type: 'Shape', components: 1 },
    { binding: 1, name: 'q', access: 'read', type: 'array<vec4<f32>>', components: 4 },
    { binding: 2, name: 'k', access: 'read', type: 'array<vec4<f32>>', components: 4 },
    { binding: 3, name: 'v', access: 'read', type: 'array<vec4<f32>>', components: 4 },
    { binding: 4, name: 'out', access: 'read_write', type: 'array<vec4<f32>>', components: 4 },
    { binding: 5, name: 'lse', access: 'read_write', type: 'array<f32>', components: 1 },
    { binding: 6, name: 'tables', access: 'read', type: 'array<u32>', components: 1 },
    { binding: 7, name: 'plan', access: 'read', type: 'array<u32>', components: 1 },
  ];
  const word = (name: string, source: UniformField['source']): UniformField => ({
    name,
    type: 'u32',
    source,
  });
  const uniforms: UniformField[] = [
    ...(['batch', 'heads', 'key_heads'] as const).map((name) => word(name, { kind: 'shape', name })),
    word('lengths', { kind: 'plan', part: 'lengths' }),
    word('tiles', { kind: 'plan', part: 'tiles' }),
    ...TENSORS.flatMap((tensor) =>
      AXES.map((axis) => word(`${tensor}_${axis}`, { kind: 'stride', tensor, axis })),
    ),
    ...(options.uniforms ?? []),
  ];
  const segment = makeSegment(
    [{ atoms: [when], label: 'all', source: origin.text }],
    rowsSpace('i'),
    rowsSpace('j'),
    options.grid?.length ?? 0,
  );
  const pattern: Pattern = {
    name: options.name ?? 'hand',
    doc: undefined,
    parameters: options.parameters ?? [],
    inputs: options.inputs ?? [],
    grid: options.grid,
    align: options.align ?? 'end',
    edges: {
      kind: 'edges',
      overlaps: 'merge',
      restrict: undefined,
      parts: [{ kind: 'rule', label: 'all', when, origin }],
    },
    score: undefined,
    mix: { kind: 'softmax', sink: undefined },
    checks: options.checks ?? [],
  };
  const variant: Variant = {
    family: 'portable',
    inputs: options.types ?? ['f32'],
    outputs: options.types ?? ['f32'],
    schedule: 0,
    kernels: [
      {
        name: 'rows',
        role: 'tiles',
        pass: 0,
        directives: '',
        wgsl: kernelText(bindings, uniforms, dim, options),
        entry: 'main',
        workgroup: [64, 1, 1],
        rows: 64,
        bindings,
        uniforms,
      },
    ],
    features: options.features ?? [],
    limits: options.limits ?? {},
  };
  return {
    format: 'attnc-program',
    version: PROGRAM_VERSION,
    name: pattern.name,
    doc: undefined,
    dim,
    valueDim: dim,
    parameters: pattern.parameters,
    inputs: pattern.inputs,
    pattern,
    score: undefined,
    mix: pattern.mix,
    schedules: [
      {
        name: 'rows',
        when: TRUE,
        ranges: [],
        passes: [
          {
            kind: 'tiles',
            queries: rowsSpace('i'),
            segments: [segment],
            plan: options.plan ?? 'host',
            complete: true,
          },
        ],
      },
    ],
    variants: [variant],
    preludes: PRELUDES,
    windows: false,
    maxLength: options.maxLength ?? 2 ** 24,
  };
}

function kernelText(
  bindings: readonly Binding[],
  uniforms: readonly UniformField[],
  dim: number,
  options: HandOptions,
): string {
  const storage = { uniform: 'uniform', read: 'storage, read', read_write: 'storage, read_write' } as const;
  const declared = bindings.map(
    (b) => `@group(0) @binding(${b.binding}) var<${storage[b.access]}> ${b.name}: ${b.type};`,
  );
  return `
struct Shape { ${uniforms.map((u) => `${u.name}: ${u.type}`).join(', ')} }
${declared.join('\n')}
const DIM4 = ${dim / 4}u;
${options.functions ?? ''}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let n = group.x + group.y * groups.x;
  let row = n % shape.tiles * 64u + lane;
  let head = n / shape.tiles % shape.heads;
  let batch = n / shape.tiles / shape.heads;
  if (batch >= shape.batch) { return; }
  let queries = plan[shape.lengths + 4u * batch];
  let keys = plan[shape.lengths + 4u * batch + 1u];
  if (row >= queries) { return; }
  let i = ${options.align === 'start' ? 'i32(row)' : 'i32(row + keys - queries)'};
  let key_head = head / (shape.heads / shape.key_heads);
  let q_at = shape.q_offset + batch * shape.q_batch + head * shape.q_head + row * shape.q_row;
  let k_at = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  let v_at = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  let out_at = shape.out_offset + batch * shape.out_batch + head * shape.out_head + row * shape.out_row;
  var sum = 0.0;
  var most = -3e38;
  var acc: array<vec4<f32>, DIM4>;
  for (var key = 0u; key < keys; key++) {
    let j = i32(key);
    if (!(${options.wgsl ?? 'true'})) { continue; }
    var score = 0.0;
    for (var d = 0u; d < DIM4; d++) { score += dot(q[q_at + d], k[k_at + key * shape.k_row + d]); }
    score *= ${1 / Math.sqrt(dim)};
    let next = max(most, score);
    let old = exp(most - next);
    let weight = exp(score - next);
    sum = sum * old + weight;
    for (var d = 0u; d < DIM4; d++) { acc[d] = acc[d] * old + weight * v[v_at + key * shape.v_row + d]; }
    most = next;
  }
  for (var d = 0u; d < DIM4; d++) { out[out_at + d] = select(vec4(0.0), acc[d] / sum, sum > 0.0); }
  let lse_at = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head + row * shape.lse_row;
  let nothing = bitcast<f32>(0xff800000u + shape.lengths * 0u);
  lse[lse_at] = select(nothing, most + log(sum), sum > 0.0);
}`;
}

/** j <= i, the last \`window\` keys only (a dynamic parameter). */
export function windowProgram(options: HandOptions = {}): Program {
  const window = parameter('window', 'int');
  return handProgram({
    name: 'window',
    when: all([le(J, I), lt(sub(I, J), window)]),
    wgsl: 'j <= i && i - j < shape.window',
    parameters: [
      { name: 'window', type: 'int', value: 8, range: { lo: 1, hi: 4096 }, fixed: false, doc: undefined },
    ],
    uniforms: [{ name: 'window', type: 'i32', source: { kind: 'parameter', name: 'window' } }],
    ...options,
  });
}

/** Tokens of one document. */
export function documentProgram(options: HandOptions = {}): Program {
  return handProgram({
    name: 'documents',
    when: eq(read('table', 'int', 'doc', [I]), read('table', 'int', 'doc', [J])),
    wgsl: 'tables[shape.doc + u32(i)] == tables[shape.doc + key]',
    inputs: [{ name: 'doc', type: 'int', axes: [{ kind: 'keys' }], weighted: false, doc: undefined }],
    uniforms: [{ name: 'doc', type: 'u32', source: { kind: 'table', name: 'doc', part: 'offset' } }],
    ...options,
  });
}

/** The edges of a graph. */
export function graphProgram(options: HandOptions = {}): Program {
  return handProgram({
    name: 'graph',
    when: read('edge', 'bool', 'bonds', [ZERO, ZERO, I, J]),
    wgsl: 'has_edge(u32(i), key)',
    functions: `fn has_edge(row: u32, key: u32) -> bool {
  for (var e = tables[shape.row_ptr + row]; e < tables[shape.row_ptr + row + 1u]; e++) {
    if (tables[shape.col_idx + e] == key) { return true; }
  }
  return false;
}`,
    inputs: [{ name: 'bonds', type: 'edges', axes: [], weighted: false, doc: undefined }],
    uniforms: [
      { name: 'row_ptr', type: 'u32', source: { kind: 'table', name: 'bonds', part: 'row_ptr' } },
      { name: 'col_idx', type: 'u32', source: { kind: 'table', name: 'bonds', part: 'col_idx' } },
    ],
    ...options,
  });
}

export { eq, I, int, J, mod, origin, read };
