import { markWords, type MatrixLayout } from './matrix-layout.js';
import { allBlocks } from './matrix-products.js';
import { correctReference, offReference, tellsReference } from './matrix-steady.js';
import type { Shader } from './shader.js';
import { wgsl } from './wgsl.js';

/**
 * What matrix kernels do about results that need care (see `Care`). A kernel that leaves them to another one writes a
 * mark for each of its workgroups, 0 if there are none; the other one's workgroups, few of them, look through the marks.
 */

/** Statements before the end can vote. */
export const clearCare = ({ care }: MatrixLayout): string =>
  care === 'always'
    ? ''
    : wgsl`
      if (thread == 0u) {
        atomicStore(&flags[CARE], 0u);
      }`;

/** A statement of a workgroup that does nothing: what its mark was in an earlier pass must not stay. */
export const leaveNothing = (shader: Shader): string => wgsl`
  if (thread == 0u) {
    ${shader.bind('marks', 'read_write')}[number] = 0u;
  }`;

/**
 * Statements that do results again, or leave them, which need care, once they are in the lanes.
 * @param one a uniform that is 1
 */
export function careOrLeave(shader: Shader, layout: MatrixLayout, one: string): string {
  if (layout.care === 'always') return '';
  // Of other rows' results, too, that this lane has read.
  const infinite = (b: number): string => `bits_${b} == INFINITY_BITS`;
  const blocks = allBlocks(layout);
  if (layout.care === 'here') {
    return wgsl`
      if (!careful) {
        if (${blocks.map(infinite).join(' || ')}) {
          atomicStore(&flags[CARE], 1u);
        }
        let needs_care = workgroupUniformLoad(&flags[CARE]);
        if (needs_care != 0u) {
          careful = true;
          continue;
        }
      }`;
  }
  const off = (b: number): string => `row_${b} >= 0 && (${offReference(b)})`;
  const any = blocks.map((b) => `${infinite(b)} || (${off(b)})`).join(' || ');
  const tells = blocks.map((b) => `(${off(b)} && ${tellsReference(b)})`).join(' || ');
  // 1: care. 2: other references may do.
  const vote = layout.retries
    ? `atomicMax(&flags[CARE], select(1u, 2u, ${tells}));`
    : 'atomicStore(&flags[CARE], 1u);';
  return wgsl`
    if (${any}) {
      ${vote}
    }
    let needs_care = workgroupUniformLoad(&flags[CARE]);
    ${
      layout.retries
        ? wgsl`
          if (needs_care == 2u && !again) {
            again = true;
            once *= ${one};
            ${blocks.map(correctReference)}
            continue;
          }`
        : ''
    }
    if (thread == 0u) {
      ${shader.bind('marks', 'read_write')}[number] = needs_care;
    }
    if (needs_care != 0u) {
      return;
    }`;
}

/** Declares where they are. */
export const markMemory = (layout: MatrixLayout): string =>
  layout.care === 'always'
    ? wgsl`
      // Of as many marks as there are threads, bits.
      var<workgroup> marked: array<atomic<u32>, ${markWords(layout)}>;`
    : '';

/** Statements that run `body` for each marked workgroup of the kernel before, by its `number`. */
export function eachMarked(shader: Shader, layout: MatrixLayout, body: string): string {
  const { threads } = layout;
  const words = markWords(layout);
  return wgsl`
    // Workgroups share the marks in turn: tiles that need care are often neighbours.
    for (var first = 0u; group.x + first * groups.x < place_count(); first += ${threads}u) {
      let own_number = group.x + (first + thread) * groups.x;
      if (thread < ${words}u) {
        atomicStore(&marked[thread], 0u);
      }
      workgroupBarrier();
      if (own_number < place_count() && ${shader.bind('marks')}[own_number] != 0u) {
        atomicOr(&marked[thread / 32u], 1u << (thread % 32u));
      }
      workgroupBarrier();
      for (var word = 0u; word < ${words}u; word++) {
        var bits = workgroupUniformLoad(&marked[word]);
        while (bits != 0u) {
          let number = group.x + (first + 32u * word + countTrailingZeros(bits)) * groups.x;
          bits &= bits - 1u;
          ${body}
          workgroupBarrier();
        }
      }
    }`;
}
