import { eachPiece, SET, upper, whereInside, type DecodeLayout } from './decode-layout.js';
import { packedSets } from './pack-rows.js';
import type { Shader } from './shader.js';
import { lines, wgsl } from './wgsl.js';

/** What a workgroup of a decoding kernel leaves: its teams' results put together, one row of `parts` for each row. */

export function emitStoreParts(shader: Shader, layout: DecodeLayout): readonly string[] {
  const { threads, valueWidth, lanes } = layout;
  const parts = shader.bind('parts', 'read_write');
  const sets = packedSets(shader);
  const masks = [4, 8].filter((m) => m < lanes);
  const put = (r: number): readonly string[] =>
    eachPiece(shader, layout, 'values', (n) =>
      whereInside(
        n,
        wgsl`
        let at_${n.name} = team * ${valueWidth}u + 2u * (${n.piece});
        gathered[at_${n.name}] = sums[${n.index(r)}] * factor;
        gathered[at_${n.name} + 1u] = sums[${upper(n.index(r))}] * factor;`,
      ),
    );
  const row = (r: number): string => wgsl`
    {
      let factor = subgroupShuffle(shrink, first_lane + ${r}u);
      ${put(r)}
      workgroupBarrier();
      store_sums(number, thread, ${r}u);
      workgroupBarrier();
    }`;
  return [
    wgsl`
    // Puts together what the teams of a set found, and writes it: of each row the sums, then the highest score, the
    // total and poison.
    fn store_parts(number: u32, thread: u32) {
      ${masks.map((m) => `total += subgroupShuffleXor(total, ${m}u);`)}
      var poison = select(0.0, 1.0, poisoned);
      ${masks.map((m) => `poison = max(poison, subgroupShuffleXor(poison, ${m}u));`)}
      if (lane < ${SET}u) {
        statistics[${SET}u * team + lane] = vec4<f32>(highest, total, poison, 0.0);
      }
      workgroupBarrier();
      var top = highest;
      for (var other = team % ${sets}; other < TEAMS; other += ${sets}) {
        top = max(top, statistics[${SET}u * other + lane % ${SET}u].x);
      }
      let shrink = exp(highest - top);
      ${lines(SET, row)}
      if (thread < ${SET}u * ${sets}) {
        store_statistics(number, thread);
      }
    }`,
    wgsl`
    // Row r of every set: each column of its sums over the teams of the set.
    fn store_sums(number: u32, thread: u32, r: u32) {
      for (var n = thread; n < ${sets} * ${valueWidth}u; n += ${threads}u) {
        let first = n / ${valueWidth}u;
        let column = n % ${valueWidth}u;
        var sum = vec4<f32>();
        for (var other = first; other < TEAMS; other += ${sets}) {
          sum += gathered[${valueWidth}u * other + column];
        }
        let row = ${SET}u * first + r;
        if (is_bad(sum)) {
          atomicOr(&bad_rows, 1u << row);
        }
        ${parts}[(${SET}u * ${sets} * number + row) * ${valueWidth + 1}u + column] = sum;
      }
    }
    fn store_statistics(number: u32, row: u32) {
      let first = row / ${SET}u;
      let r = row % ${SET}u;
      var found = vec4<f32>(LOWEST, 0.0, 0.0, 0.0);
      for (var other = first; other < TEAMS; other += ${sets}) {
        found.x = max(found.x, statistics[${SET}u * other + r].x);
      }
      for (var other = first; other < TEAMS; other += ${sets}) {
        let one = statistics[${SET}u * other + r];
        found.y += one.y * exp(one.x - found.x);
        found.z = max(found.z, one.z);
      }
      if (((atomicLoad(&bad_rows) >> row) & 1u) != 0u) {
        found.z = 1.0;
      }
      ${parts}[(${SET}u * ${sets} * number + row) * ${valueWidth + 1}u + ${valueWidth}u] = found;
    }`,
    wgsl`
    // Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
    fn is_bad(value: vec4<f32>) -> bool {
      let exponent = vec4<u32>(INFINITY_BITS);
      return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
    }`,
  ];
}
