import type { TilePass } from '../ir/schedule.js';
import { emitKeySpaces } from './boxes.js';
import { attendLoop, emitAttendKeys } from './decode-attend.js';
import { decodeLayout, eachPiece, SET, upper, whereInside, type DecodeLayout } from './decode-layout.js';
import { emitStoreParts } from './decode-store.js';
import { emitKeySwitch } from './key-places.js';
import { emitFindRow, packedQueries, packedSets } from './pack-rows.js';
import { emitPlace, rowStart } from './place.js';
import { emitKeep, scoreFunction } from './scores.js';
import { createShader, type Shader } from './shader.js';
import { emitSpace, QUERY_SPACE } from './spaces.js';
import { SPECIAL_VALUES } from './store.js';
import type { Target } from './target.js';
import { emitVisit } from './visit.js';
import { comment, lines, wgsl } from './wgsl.js';

/**
 * Attention of few queries to many keys: the keys in parts, each read once for all heads that share them. What bounds
 * it is memory, so keys and values go from storage to registers, 16 bytes a load and eight loads at once, and teams of
 * lanes go their own way: no barrier until the end.
 */

export interface DecodeKernelOptions {
  readonly name: string;
  /** Lanes that share a key: 4, 8 or 16. */
  readonly lanes: number;
}

export const DECODE_DIRECTIVES = ['enable subgroups;', 'diagnostic(off, subgroup_uniformity);'].join('\n');

/** Eight numbers at once. */
const OCTETS = { type: 'array<Oct>', components: 8 } as const;

export function emitDecodeKernel(
  target: Target,
  pass: TilePass,
  options: DecodeKernelOptions,
): { readonly text: string; readonly shader: Shader; readonly threads: number } {
  const shader = createShader(target, { types: { q: OCTETS, k: OCTETS, v: OCTETS } });
  const layout = decodeLayout(target, options.lanes);
  const rows = packedQueries(shader);
  const place = emitPlace(shader, target, {
    by: 'tiles',
    rows: 0,
    split: true,
    packed: true,
    tensors: ['q', 'k', 'v'],
  });
  const visit = emitVisit(shader, target, pass, true, rows);
  const main = wgsl`
    @compute @workgroup_size(${layout.threads})
    fn main(
      @builtin(workgroup_id) group: vec3<u32>,
      @builtin(num_workgroups) groups: vec3<u32>,
      @builtin(local_invocation_index) thread: u32,
      @builtin(subgroup_invocation_id) subgroup_lane: u32,
      @builtin(subgroup_size) subgroup_size: u32,
    ) {
      let number = group.x + group.y * groups.x;
      if (number >= place_count()) {
        return;
      }
      let at = find_place(number);
      // Classes and heads may have fewer tiles than the most.
      if (i32(at.tile) * ${rows} >= ${QUERY_SPACE.size}(at)) {
        return;
      }
      // Not all devices clear workgroup memory as they should.
      if (thread == 0u) {
        atomicStore(&subgroups_found, 0u);
        atomicStore(&bad_rows, 0u);
      }
      workgroupBarrier();
      find_lane(subgroup_lane, subgroup_size);
      ${attendLoop(shader, layout, visit, { sets: packedSets(shader), begin: 'load_queries(at);' })}
      store_parts(number, thread);
    }`;
  const body = [
    SPECIAL_VALUES,
    emitState(layout),
    ...place,
    emitFindRow(shader, ['q']),
    main,
    emitFindLane(),
    emitLoadQueries(shader, layout),
    ...visit.functions,
    ...emitSpace(shader, target, pass.queries, QUERY_SPACE, rows),
    ...emitKeySpaces(shader, target, pass),
    emitKeySwitch(pass),
    ...emitAttendKeys(layout),
    ...emitKeep(shader, target, pass.segments),
    scoreFunction(shader, target),
    ...emitStoreParts(shader, layout),
  ];
  return {
    text: shader.finish(comment(headerOf(pass, options, layout)), body),
    shader,
    threads: layout.threads,
  };
}

function headerOf(pass: TilePass, options: DecodeKernelOptions, layout: DecodeLayout): string {
  const segments = pass.segments.map((s) => `  keys by ${s.space.name}: ${s.sources.join('; ')}`);
  return [
    `${options.name}: attention of few queries, the keys in parts; ${layout.teams} teams of ${layout.lanes} lanes.`,
    `Queries by ${pass.queries.name}.`,
    ...segments,
  ].join('\n');
}

function emitState(layout: DecodeLayout): string {
  const { lanes, teams, owned, valuesOwned, valueWidth } = layout;
  return wgsl`
    // No edge, and so not even a weight of 0; scores of edges are LOWEST or more.
    const NO_EDGE = -3.402e38;
    // Lanes that share keys, ${lanes * 8} columns at a time; such teams of a workgroup.
    const LANES = ${lanes}u;
    const TEAMS = ${teams}u;
    // This lane in its team, the first lane of the team in its subgroup, and the team in the workgroup.
    var<private> lane: u32;
    var<private> first_lane: u32;
    var<private> team: u32;
    // The lane's columns of the set's four queries, and of the weighted sums of values: ${2 * owned} and ${2 * valuesOwned} vec4s a row.
    var<private> queries: array<vec4<f32>, ${SET * 2 * owned}>;
    var<private> sums: array<vec4<f32>, ${SET * 2 * valuesOwned}>;
    // The row whose scores come to this lane, its highest score yet, the lane's part of the sum of its weights, and
    // whether NaN or infinity reached it.
    var<private> own: Row;
    var<private> highest: f32;
    var<private> total: f32;
    var<private> poisoned: bool;
    var<workgroup> subgroups_found: atomic<u32>;
    // Of each team's rows: highest score, total, poison. And one row of every team's sums.
    var<workgroup> statistics: array<vec4<f32>, ${teams * SET}>;
    var<workgroup> gathered: array<vec4<f32>, ${teams * valueWidth}>;
    // Rows of the workgroup that NaN or infinity reached through values, as bits.
    var<workgroup> bad_rows: atomic<u32>;`;
}

function emitFindLane(): string {
  return wgsl`
    // Subgroups count themselves: how threads are dealt to them is up to the device.
    fn find_lane(subgroup_lane: u32, subgroup_size: u32) {
      var subgroup = 0u;
      if (subgroup_lane == 0u) {
        subgroup = atomicAdd(&subgroups_found, 1u);
      }
      subgroup = subgroupBroadcast(subgroup, 0u);
      lane = subgroup_lane % LANES;
      first_lane = subgroup_lane - lane;
      team = subgroup * (subgroup_size / LANES) + subgroup_lane / LANES;
    }`;
}

function emitLoadQueries(shader: Shader, layout: DecodeLayout): string {
  const q = shader.bind('q');
  const load = (r: number): string => {
    const pieces = eachPiece(shader, layout, 'keys', (n) =>
      whereInside(
        n,
        wgsl`
        let piece_${n.name} = ${q}[start + ${n.piece}];
        queries[${n.index(r)}] = read_low(piece_${n.name});
        queries[${upper(n.index(r))}] = read_high(piece_${n.name});`,
      ),
    );
    return wgsl`
      let row_${r} = find_row(at, first + ${r}u);
      if (row_${r}.i >= 0) {
        let place = row_${r}.place;
        let start = ${rowStart(shader, 'q', `u32(row_${r}.i - place.first)`).replace('at.', 'place.')};
        ${pieces}
      }`;
  };
  return wgsl`
    // The queries of the team's set: rows that don't exist, and columns past the head, are 0.
    fn load_queries(at: Place) {
      let first = ${SET}u * (team % ${packedSets(shader)});
      ${lines(SET, load)}
      own = find_row(at, first + lane % ${SET}u);
      highest = LOWEST;
    }`;
}
