import { PASSES } from '../../compiler/passes/index.js';
import { pairwise, type SampleCase, type SampleSetting } from '../shapes.js';
import { sizesFor, unequalLengths, type ProblemShape } from './problems.js';
import { FULL } from './settings.js';

/** Edges as each pass alone leaves them, as written, and as the pipeline leaves them. */
export const PIPELINES = [
  { name: 'no passes', passes: [] },
  ...PASSES.map((p) => ({ name: `${p.name} alone`, passes: [p] })),
  { name: 'all passes', passes: PASSES },
];

export interface Point {
  readonly setting: SampleSetting;
  readonly size: number;
  readonly heads: number;
  readonly batch: 'one' | 'two' | 'uneven';
  readonly pipeline: number;
  readonly rows: number;
}

/** Shapes of more pairs than this take one sequence; `npm test` runs them after all passes only. */
export const MANY_PAIRS = FULL ? 4e6 : 3e5;

/** The points of a sample: a cover of all pairs of values, or everything. */
export function pointsOf(sample: SampleCase): readonly Point[] {
  return sample.settings.flatMap((setting) => {
    const axes = {
      setting: [setting],
      size: sizesFor(sample, setting).map((_, n) => n),
      heads: [...new Set([sample.heads, 3])],
      batch: ['one', 'two', 'uneven'] as const,
      pipeline: PIPELINES.map((_, n) => n),
      rows: [64, 16],
    };
    return FULL ? product(axes) : pairwise(axes);
  });
}

function product(axes: { readonly [Name in keyof Point]: readonly Point[Name][] }): readonly Point[] {
  return axes.setting.flatMap((setting) =>
    axes.size.flatMap((size) =>
      axes.heads.flatMap((heads) =>
        axes.batch.flatMap((batch) =>
          axes.pipeline.flatMap((pipeline) =>
            axes.rows.map((rows) => ({ setting, size, heads, batch, pipeline, rows })),
          ),
        ),
      ),
    ),
  );
}

/** The shape of a point, and the point itself where its shape is large. */
export function shapeOf(
  sample: SampleCase,
  point: Point,
): { readonly shape: ProblemShape; readonly point: Point } {
  const { setting, size, heads, batch } = point;
  const [queries, keys] = sizesFor(sample, setting)[size];
  const count = batch === 'one' ? 1 : 2;
  if (count * heads * queries * keys > MANY_PAIRS) {
    const shape = { batch: 1, heads: sample.heads, queries, keys };
    return { shape, point: FULL ? point : { ...point, pipeline: PIPELINES.length - 1, rows: 64 } };
  }
  const shape = { batch: count, heads, queries, keys };
  if (batch !== 'uneven') return { shape, point };
  return { shape: { ...shape, lengths: unequalLengths(sample, setting, [queries, keys]) }, point };
}
