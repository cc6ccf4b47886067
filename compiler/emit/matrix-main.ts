import type { TilePass } from '../ir/schedule.js';
import { boxSegments } from './boxes.js';
import { clearCare, eachListed } from './matrix-care.js';
import {
  commitKeys,
  commitTile,
  factsOf,
  fetchTile,
  fetchVariables,
  onLine,
  stageQueries,
  type KeyFinding,
} from './matrix-loads.js';
import { chunkOf, LOOP_CHUNK, syncOf, type Chunk, type MatrixLayout } from './matrix-layout.js';
import { addValues, allBlocks, declareResults, scoreTile, storeScores } from './matrix-products.js';
import { updateSoftmax } from './matrix-softmax.js';
import { declareWitnesses, estimateReferences, steadySoftmax, type Masking } from './matrix-steady.js';
import { storeParts, storeRows } from './matrix-store.js';
import type { Shader } from './shader.js';
import { masksInPlace, rowReads } from './side-facts.js';
import { QUERY_SPACE } from './spaces.js';
import type { Target } from './target.js';
import type { Visit } from './visit-runs.js';
import { lines, wgsl } from './wgsl.js';

/** What the main function of a matrix kernel is made of. */
export interface MatrixMain {
  readonly shader: Shader;
  readonly target: Target;
  readonly pass: TilePass;
  readonly layout: MatrixLayout;
  readonly visit: Visit;
  readonly finding: KeyFinding;
  /** Subgroups find out by themselves which of the keys are for their rows. */
  readonly apart: boolean;
  /** Chunks of tiles without masks take turns. */
  readonly inTurns: boolean;
  /** A uniform that is 1: compilers can't tell, and so leave loops that count by it alone. */
  readonly one: string;
  readonly split: boolean;
  readonly merge: boolean;
}

/**
 * `main`: the queries to registers, then tile after tile of keys, then out to memory. What turns out to hold NaN,
 * infinity, or weights that f16 does not hold well is done again (`Care`).
 */
export function emitMatrixMain(main: MatrixMain): string {
  const { shader, pass, layout } = main;
  const { lanes, m, threads, ownRows, rows, care, again, retries } = layout;
  const tile = care === 'here' ? withCare : retries ? withReferences : withoutCare;
  const hasTile =
    pass.queries.kind === 'grid'
      ? ''
      : wgsl`
        // Classes and heads may have fewer tiles than the most.
        if (i32(at.tile) * ${rows} >= ${QUERY_SPACE.size}(at)) {
          return;
        }`;
  const own = (): string => wgsl`
    let number = group.x + group.y * groups.x;
    if (number >= place_count()) {
      return;
    }
    ${tile(main, hasTile)}`;
  return wgsl`
    @compute @workgroup_size(${threads})
    fn main(
      @builtin(workgroup_id) group: vec3<u32>,
      @builtin(num_workgroups) groups: vec3<u32>,
      @builtin(local_invocation_index) thread: u32,
      @builtin(subgroup_invocation_id) lane: u32,
    ) {
      // This subgroup's rows start at first_row and its scratch space is own; the lane shares row y with others, as x.
      let subgroup = subgroupBroadcastFirst(thread / ${lanes}u);
      let first_row = subgroup * ${ownRows}u;
      let own = &scratch[subgroup];
      let y = lane % ${m}u;
      let x = lane / ${m}u;
      ${again ? eachListed(shader, tile(main, '')) : own()}
    }`;
}

/** A tile. What needs care is left to another kernel. */
const withoutCare = (main: MatrixMain, hasTile: string): string => wgsl`
  let at = find_place(number);
  ${hasTile}
  ${queriesOf(main)}
  ${clearCare}
  ${attend(main)}`;

/** A tile, and again with care, only if the results turn out to need it. */
const withCare = (main: MatrixMain, hasTile: string): string => wgsl`
  let at = find_place(number);
  ${hasTile}
  ${queriesOf(main)}
  ${clearCare}
  // Again, with care, only if the results turn out to need it.
  var careful = false;
  loop {
    ${attend(main)}
    break;
  }`;

/** A tile, and again with other references, only if the estimates turn out to be off. */
const withReferences = (main: MatrixMain, hasTile: string): string => wgsl`
  // Again, relative to what has been found, only if the estimates turn out to be off: all of it, by a number that only
  // looks new, so that nothing is kept for that.
  var again = false;
  var once = ${main.one};
  ${allBlocks(main.layout).map(declareReference)}
  loop {
    let at = find_place(number * once);
    ${hasTile}
    ${queriesOf(main)}
    ${clearCare}
    ${attend(main)}
    break;
  }`;

/** The positions of the lane's rows, and the queries as matrices. */
function queriesOf({ shader, layout, finding }: MatrixMain): string {
  const { blocks, m } = layout;
  const { places, reads } = factsOf(finding);
  return wgsl`
    ${lines(blocks, (b) => `let i_${b} = query_position(at, i32(at.tile), i32(first_row + ${b * m}u + y));`)}
    ${places ? lines(blocks, (b) => `let i_place_${b} = grid_place(i_${b});`) : ''}
    ${reads.i.length > 0 ? lines(blocks, (b) => `let i_reads_${b} = ${rowReads(shader, reads, `i_${b}`)};`) : ''}
    ${stageQueries(shader, layout)}`;
}

/** The power of two that the weights of a block's row are relative to. */
const declareReference = (b: number): string => `var reference_${b} = FLOOR;`;

/** From the first key to the results in memory. */
function attend(main: MatrixMain): string {
  const { shader, layout, split, merge } = main;
  const { m, blocks, steady, care, retries } = layout;
  return wgsl`
    ${lines(
      blocks,
      (b) => wgsl`
      // Of block ${b}: the power of two that weights are relative to, the lane's part of their sum, and the results.
      ${retries ? '' : declareReference(b)}
      var total_${b} = 0.0;
      ${care === 'later' ? '' : `var poisoned_${b} = false;`}
      ${steady ? declareWitnesses(b) : ''}
      ${declareResults(layout, b)}`,
    )}
    ${steady ? steadyLoop(main) : onlineLoop(main)}
    ${syncOf(layout).sync}
    // Found again, by a number that only looks new: what the end alone needs takes no registers before it.
    let end = find_place(number * ${retries ? `(once * ${main.one})` : main.one});
    ${lines(blocks, (b) => `let row_${b} = query_position(end, i32(end.tile), i32(first_row + ${b * m}u + y));`)}
    ${split ? storeParts(shader, layout, main.one) : storeRows(shader, layout, merge, main.one)}`;
}

/** Statements that leave a tile, or a part of it, for the next. */
function advance({ pass, layout, visit, finding, one }: MatrixMain): string {
  const line = finding.affine ? 'line = key_line(at, next.segment, next.tile);' : '';
  const { parts } = layout;
  if (parts === 1) return `next = ${visit.next};\n${line}`;
  const turn =
    boxSegments(pass).length > 0
      ? `part = select(part + ${one}, 0u, part + ${one} >= key_parts(at, next.segment, next.tile));`
      : `part = (part + ${one}) % ${parts}u;`;
  return wgsl`
    ${turn}
    if (part == 0u) {
      next = ${visit.next};
      ${line}
    }`;
}

/** Declares where the workgroup stands. */
const begin = ({ layout, visit, finding }: MatrixMain): string => wgsl`
  ${visit.begin}
  var next = ${visit.next};
  ${finding.affine ? 'var line = key_line(at, next.segment, next.tile);' : ''}
  ${layout.parts === 1 ? '' : 'var part = 0u;'}`;

/** With rescaling and, if asked, care. */
function onlineLoop(main: MatrixMain): string {
  const { shader, target, layout, finding } = main;
  const update = (b: number): string =>
    updateSoftmax(layout, b, target.score !== undefined, factsOf(finding));
  // What runs rarely goes block after block, so that it is small.
  const body = layout.again
    ? allBlocks(layout).map(
        (b) => wgsl`
        {
          ${scoreTile(layout, LOOP_CHUNK, [b])}
          ${update(b)}
          ${addValues(layout, LOOP_CHUNK, [b])}
        }`,
      )
    : [scoreTile(layout, LOOP_CHUNK), ...allBlocks(layout).map(update), addValues(layout, LOOP_CHUNK)];
  return wgsl`
    ${begin(main)}
    ${layout.prefetch ? [fetchVariables(layout, finding), fetchTile(shader, layout, finding)] : ''}
    while (next.kind != NO_PAIR) {
      workgroupBarrier();
      ${commitTile(shader, layout, finding, true)}
      workgroupBarrier();
      let segment = next.segment;
      let is_partial = next.kind == SOME_PAIRS;
      ${advance(main)}
      ${
        layout.prefetch
          ? wgsl`
            if (next.kind != NO_PAIR) {
              ${fetchTile(shader, layout, finding)}
            }`
          : ''
      }
      ${inLoop(shader, layout, body)}
    }`;
}

/** Without rescaling; subgroups may skip what is not for their rows. */
function steadyLoop(main: MatrixMain): string {
  const { shader, layout, finding, apart, visit } = main;
  const { keys, parts } = layout;
  const isLine = onLine(layout, finding);
  // What of the present keys is needed once the next are on their way.
  const present = [
    isLine
      ? parts === 1
        ? 'let present = line;'
        : `let present = vec3<i32>(line.x + line.y * i32(part * ${keys}u), line.y, line.z - i32(part * ${keys}u));`
      : '',
    apart ? `let first = next.tile * 64${parts === 1 ? '' : ` + i32(part * ${keys}u)`};` : '',
  ];
  return wgsl`
    ${apart ? 'let own_box = rows_box(at, i32(first_row));' : ''}
    ${begin(main)}
    ${fetchVariables(layout, finding)}
    if (next.kind != NO_PAIR) {
      ${fetchTile(shader, layout, finding)}
      workgroupBarrier();
      ${commitKeys(layout)}
      workgroupBarrier();
      ${estimateReferences(layout, visit.most)}
    }
    while (next.kind != NO_PAIR) {
      workgroupBarrier();
      ${commitTile(shader, layout, finding, false)}
      workgroupBarrier();
      let segment = next.segment;
      ${present}
      let tile_kind = next.kind;
      ${advance(main)}
      if (next.kind != NO_PAIR) {
        ${fetchTile(shader, layout, finding)}
      }
      ${steadyStep(main)}
    }`;
}

/** The staged keys, of which `tile_kind` says which pairs are edges. */
function steadyStep({ layout, finding, apart, inTurns }: MatrixMain): string {
  const { keys, chunk } = layout;
  const masking = {
    facts: factsOf(finding),
    inPlace: masksInPlace(finding.reads.rules),
    isLine: onLine(layout, finding),
  };
  const chunks = lines(keys / chunk, (c) => {
    const own = chunkOf(layout, c);
    const body = wgsl`
      let is_partial = ${apart ? 'kind' : 'tile_kind'} == SOME_PAIRS;
      ${scoreTile(layout, own)}
      ${allBlocks(layout).flatMap((b) => storeScores(layout, own, b))}
      ${syncOf(layout).sync}
      ${steadySoftmax(layout, own, 'if partial', masking)}
      ${addValues(layout, own)}
      ${keys > chunk ? syncOf(layout).sync : ''}`;
    return wgsl`
      {
        ${
          apart
            ? wgsl`
              var kind = tile_kind;
              if (kind == SOME_PAIRS) {
                kind = own_kind(at, own_box, segment, first${c === 0 ? '' : ` + ${c * chunk}`});
              }
              if (kind != NO_PAIR) {
                ${body}
              }`
            : body
        }
      }`;
  });
  return inTurns
    ? wgsl`
      if (tile_kind == EVERY_PAIR) {
        ${chunksInTurns(layout, masking)}
      } else {
        ${chunks}
      }`
    : chunks.join('\n');
}

/** Chunks of which all pairs are edges: the products of one fill the waits of the one before. */
function chunksInTurns(layout: MatrixLayout, masking: Masking): string {
  const count = layout.keys / layout.chunk;
  const store = (own: Chunk): readonly string[] =>
    allBlocks(layout).flatMap((b) => storeScores(layout, own, b));
  const first = chunkOf(layout, 0);
  return wgsl`
    ${scoreTile(layout, first)}
    ${store(first)}
    ${lines(count, (c) => {
      const [own, next] = [chunkOf(layout, c), c + 1 < count ? chunkOf(layout, c + 1) : undefined];
      return wgsl`
        ${next ? scoreTile(layout, next) : ''}
        ${steadySoftmax(layout, own, 'all', masking)}
        ${next ? store(next) : ''}
        ${addValues(layout, own)}`;
    })}`;
}

/** The staged keys, a chunk at a time, in a loop that compilers cannot unroll. */
function inLoop(shader: Shader, layout: MatrixLayout, body: readonly string[]): string {
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
