import type { Ceilings } from './ceilings.js';
import type { WorkCounts } from './count-work.js';

/** How fast that is, and how fast it could be. */
export interface Rates {
  /** FLOP a second on needed pairs. */
  readonly flops: number;
  /** Bytes a second, of the least that must be moved. */
  readonly bytes: number;
  /** Of the ceiling of the arithmetic that the kernels use. */
  readonly ofArithmetic: number;
  /** Of the copy's bytes a second. */
  readonly ofCopy: number;
  /** Which of the two would take longer at its ceiling; the kernel can't be faster than that. */
  readonly bound: 'arithmetic' | 'bandwidth';
  /** Time at that ceiling, of the time measured. */
  readonly ofBound: number;
  /** FLOP a second of the ceiling that counts. */
  readonly ceiling: number;
  readonly arithmetic: 'matrix' | 'f32';
}

/**
 * @param milliseconds of a run
 * @param family matrix kernels are held against what matrices can do where the device has them, others against float32
 */
export function ratesOf(work: WorkCounts, milliseconds: number, ceilings: Ceilings, family: string): Rates {
  const seconds = milliseconds / 1000;
  const matrix = family === 'matrix' && ceilings.matrix !== undefined;
  const ceiling = matrix ? (ceilings.matrix as number) : ceilings.f32;
  const ofArithmetic = work.flops / seconds / ceiling;
  const ofCopy = work.bytes / seconds / ceilings.copy;
  return {
    flops: work.flops / seconds,
    bytes: work.bytes / seconds,
    ofArithmetic,
    ofCopy,
    bound: ofArithmetic >= ofCopy ? 'arithmetic' : 'bandwidth',
    ofBound: Math.max(ofArithmetic, ofCopy),
    ceiling,
    arithmetic: matrix ? 'matrix' : 'f32',
  };
}
