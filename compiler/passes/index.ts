import { flattenOverlaps } from './flatten-overlaps.js';
import { foldConstants } from './fold-constants.js';
import type { EdgePass } from './pass.js';
import { pushRestrictions } from './push-restrictions.js';
import { removeCovered } from './remove-covered.js';
import { removeEmpty } from './remove-empty.js';

/** The pipeline, in order. The empty array is the reference compiler. */
export const PASSES: readonly EdgePass[] = [
  foldConstants,
  pushRestrictions,
  flattenOverlaps,
  removeEmpty,
  removeCovered,
];

export type { EdgePass };
export { verifyEdges } from './verify.js';
export { runPasses } from './run-passes.js';
