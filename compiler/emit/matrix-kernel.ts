import type { TilePass } from '../ir/schedule.js';
import { boxSegments, emitKeySpaces } from './boxes.js';
import { emitGridPlace, marksPlaces, usesPlaces } from './coordinates.js';
import { emitKeyLines, emitKeyParts, emitKeyPlaces, emitKeySwitch, hasKeyLines } from './key-places.js';
import { emitFetch, factsOf, onLine, type KeyFinding } from './matrix-loads.js';
import { matrixLayout, type MatrixLayout, type MatrixTiling, type MatrixUnit } from './matrix-layout.js';
import { listConstants } from './matrix-care.js';
import { emitMatrixMain } from './matrix-main.js';
import { HIGHEST_BITS } from './matrix-store.js';
import { emitFinishScores, emitIsEdge } from './matrix-softmax.js';
import { emitFourEdges, STEADY_CONSTANTS } from './matrix-steady.js';
import { emitPlace } from './place.js';
import { emitKeep, scoreFunction } from './scores.js';
import { createShader, type Shader } from './shader.js';
import { emitReadPlaces, sideReads, type SideFacts } from './side-facts.js';
import { emitOwnKinds, refines } from './own-kinds.js';
import { emitSpace, QUERY_SPACE } from './spaces.js';
import { emitMix, emitReadBefore, SPECIAL_VALUES } from './store.js';
import type { Target } from './target.js';
import { emitVisit } from './visit.js';
import { comment, floatLiteral, wgsl } from './wgsl.js';

/**
 * Flash attention with subgroup matrices (FlashAttention-2: queries and results stay in registers). Each subgroup has
 * `blocks` × m query rows. Scores pass through workgroup memory, since the elements of a matrix cannot be read; the
 * results in registers are rescaled only when a row's highest score has grown by more than 15 (in powers of two), or,
 * by a steady tiling, never.
 */

export interface MatrixKernelOptions {
  readonly name: string;
  readonly unit: MatrixUnit;
  readonly tiling: MatrixTiling;
  readonly merge: boolean;
  readonly sink: boolean;
  /** Write partial results of a part of the keys instead. */
  readonly split: boolean;
  /** Compute again, with rescaling, what the kernel without this has listed. */
  readonly again: boolean;
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
): {
  readonly text: string;
  readonly shader: Shader;
  readonly threads: number;
  /** Query rows that visit keys by themselves. */
  readonly apart: number;
} {
  const shader = createShader(target, { types: { q: HALVES, k: HALVES, v: HALVES } });
  const layout = matrixLayout(target, options.unit, options.tiling, options.again);
  const { split, merge } = options;
  const reads = sideReads(pass.segments.map((s) => s.keep));
  const places = usesPlaces(target, reads.rules);
  const boxes = boxSegments(pass);
  const finding: KeyFinding = {
    affine: hasKeyLines(pass),
    places: !places ? 'none' : boxes.length > 0 ? 'found' : 'from positions',
    reads,
  };
  const facts = factsOf(finding);
  const isLine = onLine(layout, finding);
  const tensors = split ? (['q', 'k', 'v'] as const) : (['q', 'k', 'v', 'out', 'lse'] as const);
  const place = emitPlace(shader, target, { by: 'tiles', rows: layout.rows, split, boxes, tensors });
  const one = shader.uniform('one', 'u32', { kind: 'bits', value: 1 });
  const visit = emitVisit(shader, target, pass, split, layout.rows, one);
  const apart = layout.lone && layout.steady && refines(pass);
  // In boxes of grids nearly all pairs are masked.
  const inTurns = layout.lone && layout.keys > layout.chunk && boxes.length === 0;
  const main = emitMatrixMain({
    shader,
    target,
    pass,
    layout,
    visit,
    finding,
    apart,
    inTurns,
    one,
    split,
    merge,
  });
  const body = [
    SPECIAL_VALUES,
    constants(target),
    layout.steady ? STEADY_CONSTANTS : ONLINE_CONSTANTS,
    memory(layout, facts, isLine),
    ...place,
    main,
    ...visit.functions,
    ...(apart ? emitOwnKinds(shader, target, pass, layout) : []),
    ...emitSpace(shader, target, pass.queries, QUERY_SPACE, layout.rows),
    ...emitKeySpaces(shader, target, pass),
    finding.affine ? emitKeyLines(pass) : emitKeySwitch(pass),
    finding.places === 'found' ? emitKeyPlaces(pass) : '',
    boxes.length > 0 && layout.parts > 1 ? emitKeyParts(pass, layout.keys) : '',
    ...emitFetch(shader, layout),
    ...emitKeep(shader, target, pass.segments, facts),
    ...emitReadPlaces(shader, target, reads),
    places ? emitGridPlace(shader, target) : '',
    ...(target.score ? [scoreFunction(shader, target)] : []),
    emitIsEdge(facts, marksPlaces(target), isLine),
    HIGHEST_BITS,
    layout.steady ? emitFourEdges(facts, isLine) : emitFinishScores(target.score !== undefined, facts),
    ...(split
      ? []
      : [
          ...(merge ? [emitReadBefore(shader)] : []),
          ...emitMix(shader, target, { merge, sink: options.sink }),
        ]),
  ];
  return {
    text: shader.finish(comment(headerOf(pass, options, layout)), body),
    shader,
    threads: layout.threads,
    apart: apart ? layout.ownRows : layout.rows,
  };
}

function headerOf(pass: TilePass, options: MatrixKernelOptions, layout: MatrixLayout): string {
  const again = options.again ? ', again with rescaling for what is listed' : '';
  const segments = pass.segments.map((s) => `  keys by ${s.space.name}: ${s.sources.join('; ')}`);
  const { m, n, k, lanes, subgroups, blocks } = layout;
  return [
    `${options.name}: attention over tiles of ${layout.rows} queries and ${layout.keys} keys${options.split ? ', the keys in parts' : ''}${again},`,
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
    const FLOOR = -1e37;`;
}

const ONLINE_CONSTANTS = wgsl`
  // Weights may grow to two to the power of this before results are rescaled (f16 holds 65504).
  const SLACK = 15.0;`;

function memory(layout: MatrixLayout, { places, reads }: SideFacts, isLine: boolean): string {
  return wgsl`
    // Keys and then values of the present tile, in pieces of 16 bytes.
    const VALUES_AT = ${layout.valuesAt}u;
    var<workgroup> staged: array<vec4<u32>, ${layout.staged}>;
    // Each subgroup's own: scores (f32), then their weights (f16); results (f32) while they are rescaled or stored.
    // (One inside the other: matrices then lie at offsets that are known to be inside, so that nothing is checked.)
    var<workgroup> scratch: array<array<vec4<u32>, ${layout.scratch}>, ${layout.subgroups}>;
    ${isLine ? '' : `// Positions of the keys; -1 where there is none.\nvar<workgroup> key_positions: array<i32, ${layout.keys}>;`}
    ${places ? `// Their grid coordinates.\nvar<workgroup> key_places: array<vec4<i32>, ${layout.keys}>;` : ''}
    ${reads.j.length > 0 ? `// Words of tables that they decide on.\nvar<workgroup> key_reads: array<vec4<u32>, ${layout.keys}>;` : ''}
    // 0 and 1: keys with NaN or infinity in their values, as bits. RESCALE, CARE: not 0 where results must be rescaled,
    // or computed again. (Each variable takes a multiple of 16 bytes, since matrices must be aligned.)
    const RESCALE = 2u;
    const CARE = 3u;
    var<workgroup> flags: array<atomic<u32>, 4>;
    ${listConstants(layout)}`;
}
