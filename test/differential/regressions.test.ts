import test from 'ava';
import { checkSource } from '../../compiler/check/index.js';
import type { BoundShape } from '../../compiler/ir/shape.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';
import { firstDifference, scheduledMultiplicity, trueMultiplicity } from './schedule-edges.js';

const WHEN = 'i div 54 == j div 54';

/** Patterns that a schedule once got wrong, or may. */
const CASES: readonly { readonly what: string; readonly text: string; readonly heads: number }[] = [
  {
    what: 'later heads have more coordinates than head 0 in a periodic query space',
    text: 'pattern p() { i -> j when i % 12 % 5 == 4 - head and abs(i - j) < 9 }',
    heads: 5,
  },
  {
    what: 'a modulus that differs by head gives no residue classes of queries',
    text: 'pattern p() { i -> j when (i - j) % (head + 2) == 0 and abs(i - j) < 200 }',
    heads: 3,
  },
  {
    what: 'a modulus that differs by length gives no residue classes of queries',
    text: 'pattern p() { i -> j when (i - j) % (keys div 100) == 0 }',
    heads: 1,
  },
  {
    what: 'residue classes past a common refinement are visited alone, and heads without rows have none',
    text: `pattern p() {
      overlaps add
      local: i -> j when ${WHEN}
      few: i -> j when ${WHEN} and i % 16 == (head * 7) % 16 and j % 16 == (head * 7) % 16
      fewer: i -> j when abs(i - j) < 99 and (i + 5) % 27 == head % 27 and j % 9 == head
      none: i -> j when abs(i - j) < 99 and i % 3 == head
    }`,
    heads: 5,
  },
];

for (const { what, text, heads } of CASES) {
  test(what, (t) => {
    const { pattern } = checkSource({ file: 'p.attn', text }, {});
    if (!pattern) return t.fail();
    const shape: BoundShape = {
      batch: 2,
      heads,
      keyHeads: 1,
      dim: 16,
      queries: [600, 300],
      keys: [600, 450],
      grid: [],
      align: 'end',
      parameters: new Map(),
    };
    const expected = trueMultiplicity(pattern, shape, new Map());
    for (const schedule of candidateSchedules(pattern)) {
      t.is(firstDifference(scheduledMultiplicity(schedule, shape, new Map()), expected, shape), undefined);
    }
  });
}
