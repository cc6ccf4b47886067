import { REDO } from '../ir/program.js';
import type { MatrixLayout } from './matrix-layout.js';
import { allBlocks } from './matrix-products.js';
import { correctReference, offReference, tellsReference } from './matrix-steady.js';
import type { Shader } from './shader.js';
import { wgsl } from './wgsl.js';

/**
 * What matrix kernels do about results that need care (see `Care`). Workgroups of a kernel that leaves them to another
 * one write their numbers into a list, `redo`; the other one's workgroups, few of them, share what it holds in turn, and
 * the last of them to be through empties it.
 */

/** A statement before the end can vote. */
export const clearCare = wgsl`
  if (thread == 0u) {
    atomicStore(&flags[CARE], 0u);
  }`;

/**
 * Statements that do results again, or leave them, which need care, once they are in the lanes.
 * @param one a uniform that is 1
 */
export function careOrLeave(shader: Shader, layout: MatrixLayout, one: string): string {
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
  const redo = shader.bind('redo', 'read_write');
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
            if (thread == 0u) {
              atomicAdd(&${redo}[RETRIED], 1u);
            }
            again = true;
            once *= ${one};
            ${blocks.map(correctReference)}
            continue;
          }`
        : ''
    }
    if (needs_care != 0u) {
      if (thread == 0u) {
        atomicStore(&${redo}[LIST + atomicAdd(&${redo}[LISTED], 1u)], number);
      }
      return;
    }`;
}

/** What stands where, for kernels that have a list. */
export const listConstants = ({ care, again }: MatrixLayout): string =>
  care === 'later' || again
    ? wgsl`
      // In redo: how many workgroups are listed; how many of those that share the list are through with it; how many
      // have tried again so far, and have been done again; the list.
      const LISTED = ${REDO.listed}u;
      const THROUGH = ${REDO.through}u;
      const RETRIED = ${REDO.retried}u;
      const REDONE = ${REDO.redone}u;
      const LIST = ${REDO.list}u;`
    : '';

/** Statements that run `body` for each workgroup that the kernel before has listed, by its `number`. */
export function eachListed(shader: Shader, body: string): string {
  const redo = shader.bind('redo', 'read_write');
  return wgsl`
    // What is read of the list is told to all threads by the flag that later says whether results need care.
    if (thread == 0u) {
      atomicStore(&flags[CARE], atomicLoad(&${redo}[LISTED]));
    }
    let listed = workgroupUniformLoad(&flags[CARE]);
    if (listed == 0u) {
      return;
    }
    for (var n = group.x; n < listed; n += groups.x) {
      if (thread == 0u) {
        atomicStore(&flags[CARE], atomicLoad(&${redo}[LIST + n]));
      }
      let number = workgroupUniformLoad(&flags[CARE]);
      ${body}
      workgroupBarrier();
    }
    if (thread == 0u && atomicAdd(&${redo}[THROUGH], 1u) + 1u == groups.x) {
      atomicAdd(&${redo}[REDONE], listed);
      atomicStore(&${redo}[LISTED], 0u);
      atomicStore(&${redo}[THROUGH], 0u);
    }`;
}
