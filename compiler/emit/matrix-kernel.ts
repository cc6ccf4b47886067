import type { TilePass } from '../ir/schedule.js';
import { boxSegments, emitKeySpaces } from './boxes.js';
import { emitGridPlace, marksPlaces, usesPlaces } from './coordinates.js';
import { emitKeyLines, emitKeyParts, emitKeyPlaces, emitKeySwitch, hasKeyLines } from './key-places.js';
import {
  commitTile,
  emitFetch,
  fetchTile,
  fetchVariables,
  stageQueries,
  type KeyFinding,
} from './matrix-loads.js';
import {
  matrixLayout,
  resultType,
  syncOf,
  type MatrixLayout,
  type MatrixTiling,
  type MatrixUnit,
} from './matrix-layout.js';
import { addValues, scoreTile } from './matrix-products.js';
import { emitFinishScores, updateSoftmax } from './matrix-softmax.js';
import { storeParts, storeRows } from './matrix-store.js';
import { emitPlace } from './place.js';
import { emitKeep, scoreFunction } from './scores.js';
import { createShader, type Shader } from './shader.js';
import { emitSpace, QUERY_SPACE } from './spaces.js';
import { emitReadBefore, emitStore, SPECIAL_VALUES } from './store.js';
import type { Target } from './target.js';
import { emitVisit } from './visit.js';
import { comment, floatLiteral, lines, wgsl } from './wgsl.js';

/**
 * Flash attention with subgroup matrices (FlashAttention-2: queries and results stay in registers). Each subgroup has
 * `blocks` × m query rows. Scores pass through workgroup memory, since the elements of a matrix cannot be read; the
 * results in registers are rescaled only when a row's highest score has grown by more than 8 (in powers of two).
 */

export interface MatrixKernelOptions {
  readonly name: string;
  readonly unit: MatrixUnit;
  readonly tiling: MatrixTiling;
  readonly merge: boolean;
  readonly sink: boolean;
  /** Write partial results of a part of the keys instead. */
  readonly split: boolean;
}

export const MATRIX_DIRECTIVES = [
  'enable f16;',
  'enable subgroups;',
  'enable chromium_experimental_subgroup_matrix;',
  'diagnostic(off, chromium.subgroup_matrix_uniformity);',
  'diagnostic(off, subgroup_uniformity);',
].join('\n');

/** 16 bytes of f16. */
const HALVES = { type: 'array<vec4<u32>>', components: 8 } as const;

export function emitMatrixKernel(
  target: Target,
  pass: TilePass,
  options: MatrixKernelOptions,
): { readonly text: string; readonly shader: Shader; readonly threads: number } {
  const shader = createShader(target, { types: { q: HALVES, k: HALVES, v: HALVES } });
  const layout = matrixLayout(target, options.unit, options.tiling);
  const { split, merge } = options;
  const places = usesPlaces(
    target,
    pass.segments.map((s) => s.keep),
  );
  const boxes = boxSegments(pass);
  const finding: KeyFinding = {
    affine: hasKeyLines(pass),
    places: !places ? 'none' : boxes.length > 0 ? 'found' : 'from positions',
  };
  const tensors = split ? (['q', 'k', 'v'] as const) : (['q', 'k', 'v', 'out', 'lse'] as const);
  const place = emitPlace(shader, target, { by: 'tiles', rows: layout.rows, split, boxes, tensors });
  const visit = emitVisit(shader, target, pass, split, layout.rows);
  const main = emitMain(shader, target, pass, options, layout, visit, finding);
  const body = [
    SPECIAL_VALUES,
    constants(target),
    memory(layout, places),
    ...place,
    main,
    ...visit.functions,
    ...emitSpace(shader, target, pass.queries, QUERY_SPACE, layout.rows),
    ...emitKeySpaces(shader, target, pass),
    finding.affine ? emitKeyLines(pass) : emitKeySwitch(pass),
    finding.places === 'found' ? emitKeyPlaces(pass) : '',
    boxes.length > 0 && layout.parts > 1 ? emitKeyParts(pass, layout.keys) : '',
    ...emitFetch(shader, layout),
    ...emitKeep(shader, target, pass.segments, places),
    places ? emitGridPlace(shader, target) : '',
    ...(target.score ? [scoreFunction(shader, target)] : []),
    emitFinishScores(target.score !== undefined, places, marksPlaces(target)),
    ...(split
      ? []
      : [
          ...(merge ? [emitReadBefore(shader)] : []),
          ...emitStore(shader, target, {
            merge,
            sink: options.sink,
            columns: layout.columns,
            step: layout.sharers,
          }),
        ]),
  ];
  return {
    text: shader.finish(comment(headerOf(pass, options, layout)), body),
    shader,
    threads: layout.threads,
  };
}

function headerOf(pass: TilePass, options: MatrixKernelOptions, layout: MatrixLayout): string {
  const segments = pass.segments.map((s) => `  keys by ${s.space.name}: ${s.sources.join('; ')}`);
  const { m, n, k, lanes, subgroups, blocks } = layout;
  return [
    `${options.name}: attention over tiles of ${layout.rows} queries and ${layout.keys} keys${options.split ? ', the keys in parts' : ''},`,
    `with f16 matrices of ${m} x ${n} x ${k}: ${subgroups} subgroups of ${lanes}, each with ${blocks} x ${m} rows.`,
    `Queries by ${pass.queries.name}.`,
    ...segments,
  ].join('\n');
}

function constants(target: Target): string {
  const factor = (target.score ? 1 : 1 / Math.sqrt(target.dim)) * Math.LOG2E;
  return wgsl`
    // From a ${target.score ? 'score' : 'dot product'} to powers of two.
    const TO_LOG2 = ${floatLiteral(factor)};
    const TO_LOG = ${floatLiteral(Math.LN2)};
    // The reference of a row without an edge yet; every score that counts is higher.
    const FLOOR = -1e37;
    // Weights may grow to two to the power of this before results are rescaled (f16 holds 65504).
    const SLACK = 8.0;`;
}

function memory(layout: MatrixLayout, places: boolean): string {
  return wgsl`
    // Keys and then values of the present tile, in pieces of 16 bytes.
    const VALUES_AT = ${layout.valuesAt}u;
    var<workgroup> staged: array<vec4<u32>, ${layout.staged}>;
    // Each subgroup's own: scores (f32), then their weights (f16); results (f32) while they are rescaled or stored.
    // (One inside the other: matrices then lie at offsets that are known to be inside, so that nothing is checked.)
    var<workgroup> scratch: array<array<vec4<u32>, ${layout.scratch}>, ${layout.subgroups}>;
    // Positions of the keys; -1 where there is none.
    var<workgroup> key_positions: array<i32, ${layout.keys}>;
    ${places ? `// Their grid coordinates.\nvar<workgroup> key_places: array<vec4<i32>, ${layout.keys}>;` : ''}
    // 0 and 1: keys with NaN or infinity in their values, as bits. RESCALE, CARE: 1 where results must be rescaled, or
    // everything done again with care. (Each variable takes a multiple of 16 bytes, since matrices must be aligned.)
    const RESCALE = 2u;
    const CARE = 3u;
    var<workgroup> flags: array<atomic<u32>, 4>;`;
}

function emitMain(
  shader: Shader,
  target: Target,
  pass: TilePass,
  options: MatrixKernelOptions,
  layout: MatrixLayout,
  visit: { readonly begin: string; readonly next: string },
  finding: KeyFinding,
): string {
  const { lanes, m, blocks, rows, parts } = layout;
  const hasTile =
    pass.queries.kind === 'grid'
      ? ''
      : wgsl`
        // Classes and heads may have fewer tiles than the most.
        if (i32(at.tile) * ${rows} >= ${QUERY_SPACE.size}(at)) {
          return;
        }`;
  const each = (line: (b: number) => string): readonly string[] => lines(blocks, line);
  const { sync } = syncOf(layout);
  const { affine } = finding;
  const places = finding.places !== 'none';
  const line = affine ? 'line = key_line(at, next.segment, next.tile);' : '';
  const advance =
    parts === 1
      ? `next = ${visit.next};\n${line}`
      : wgsl`
        ${
          boxSegments(pass).length > 0
            ? 'part = select(part + 1u, 0u, part + 1u >= key_parts(at, next.segment, next.tile));'
            : `part = (part + 1u) % ${parts}u;`
        }
        if (part == 0u) {
          next = ${visit.next};
          ${line}
        }`;
  return wgsl`
    @compute @workgroup_size(${layout.threads})
    fn main(
      @builtin(workgroup_id) group: vec3<u32>,
      @builtin(num_workgroups) groups: vec3<u32>,
      @builtin(local_invocation_index) thread: u32,
      @builtin(subgroup_invocation_id) lane: u32,
    ) {
      let number = group.x + group.y * groups.x;
      if (number >= place_count()) {
        return;
      }
      let at = find_place(number);
      ${hasTile}
      // This subgroup's rows start at first_row and its scratch space is own; the lane shares row y with others, as x.
      let subgroup = subgroupBroadcastFirst(thread / ${lanes}u);
      let first_row = subgroup * ${blocks * m}u;
      let own = &scratch[subgroup];
      let y = lane % ${m}u;
      let x = lane / ${m}u;
      ${each((b) => `let i_${b} = query_position(at, i32(at.tile), i32(first_row + ${b * m}u + y));`)}
      ${places ? each((b) => `let i_place_${b} = grid_place(i_${b});`) : ''}
      ${stageQueries(shader, layout)}
      if (thread == 0u) {
        atomicStore(&flags[CARE], 0u);
      }
      // Again, with care, only if the results turn out to hold NaN or infinity.
      var careful = false;
      loop {
        ${each(
          (b) => wgsl`
          // Of block ${b}: the power of two that weights are relative to, the lane's part of their sum, and the results.
          var reference_${b} = FLOOR;
          var total_${b} = 0.0;
          var poisoned_${b} = false;
          ${lines(layout.valueColumns, (n) => `var result_${b}_${n} = ${resultType(layout)}(0.0);`)}`,
        )}
        ${visit.begin}
        var next = ${visit.next};
        ${affine ? `var ${line}` : ''}
        ${parts === 1 ? '' : 'var part = 0u;'}
        ${layout.prefetch ? [fetchVariables(layout, finding), fetchTile(layout, finding)] : ''}
        while (next.kind != NO_PAIR) {
          workgroupBarrier();
          ${commitTile(layout, finding)}
          workgroupBarrier();
          let segment = next.segment;
          let is_partial = next.kind == SOME_PAIRS;
          ${advance}
          ${
            layout.prefetch
              ? wgsl`
                if (next.kind != NO_PAIR) {
                  ${fetchTile(layout, finding)}
                }`
              : ''
          }
          ${chunks(shader, layout, [scoreTile(layout), ...each((b) => updateSoftmax(layout, b, target.score !== undefined, places)), addValues(layout)])}
        }
        ${sync}
        ${options.split ? storeParts(shader, layout) : storeRows(layout, options.merge)}
      }
    }`;
}

/** The staged keys, a chunk at a time. */
function chunks(shader: Shader, layout: MatrixLayout, body: readonly string[]): string {
  const { keys, chunk, keyStride, valueStride } = layout;
  const start = wgsl`
    let keys_at = first_key * ${keyStride}u;
    let values_at = VALUES_AT + first_key * ${valueStride}u;`;
  // Constants, so that the places of matrices are known to be inside.
  if (keys === chunk)
    return ['const first_key = 0u;', start.replaceAll('let ', 'const '), ...body].join('\n');
  const bound = shader.uniform('staged_keys', 'u32', { kind: 'bits', value: keys });
  return wgsl`
    for (var first_key = 0u; first_key < ${bound}; first_key += ${chunk}u) {
      ${start}
      ${body}
    }`;
}
