import fc from 'fast-check';
import type { RandomPattern } from './generate.js';

/** Random neighbourhoods on grids of one to three axes, with sides that no tile divides. */

const AXES = ['z', 'y', 'x'];
const pick = <T>(...items: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...items);
const radius = fc.integer({ min: 0, max: 6 });

/** What an axis `a` may be asked for. Every other form needs an aligned tile, or all of the axis. */
function along(a: string): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 5, arbitrary: radius.map((r) => `abs(i.${a} - j.${a}) <= ${r}`) },
    {
      weight: 2,
      arbitrary: fc.tuple(radius, radius).map(([r, s]) => `-${r} <= j.${a} - i.${a} <= ${s}`),
    },
    // Beside the query's own place, and so past the border for some.
    { weight: 1, arbitrary: radius.map((r) => `3 <= j.${a} - i.${a} - ${r} <= 5`) },
    { weight: 1, arbitrary: radius.map((r) => `abs(2 * i.${a} - j.${a}) <= ${r}`) },
    {
      weight: 1,
      arbitrary: pick(2, 3).map((d) => `abs(i.${a} - j.${a}) <= ${3 * d} and (i.${a} - j.${a}) % ${d} == 0`),
    },
    { weight: 1, arbitrary: pick(3, 4, 8).map((b) => `i.${a} div ${b} == j.${a} div ${b}`) },
    { weight: 1, arbitrary: radius.map((r) => `j.${a} >= ${a}.size - ${r}`) },
    { weight: 1, arbitrary: pick(`i.${a} == j.${a}`, `i.${a} > j.${a}`, `j.${a} >= 0`) },
  );
}

/** Conditions on the pair as a whole; some need the host to plan. */
const whole = pick(
  'j <= i',
  'i % 3 > 0',
  'i > 40',
  'u[i] == u[j]',
  'g[j]',
  'not g[i]',
  'j % 2 == 0',
  'abs(i - j) <= 50',
  'head + w > 2',
);

function rule(axes: readonly string[]): fc.Arbitrary<string> {
  return fc
    .tuple(fc.tuple(...axes.map(along)), fc.option(whole, { freq: 2, nil: undefined }))
    .map(([own, extra]) => `i -> j when ${[...own, ...(extra === undefined ? [] : [extra])].join(' and ')}`);
}

export function randomNeighbourhood(): fc.Arbitrary<RandomPattern> {
  return pick(1, 2, 2, 3, 3).chain((count) => {
    const axes = AXES.slice(AXES.length - count);
    const side = count === 1 ? pick(1, 5, 63, 64, 65, 131, 200) : pick(1, 2, 3, 4, 5, 7, 8, 9, 11, 13);
    const first = count === 3 ? pick(1, 2, 3, 5, 6) : count === 2 ? pick(1, 7, 8, 17, 23) : side;
    return fc
      .record({
        grid: fc.tuple(first, ...axes.slice(1).map(() => side)),
        rules: fc.array(rule(axes), { minLength: 1, maxLength: 3 }),
        restrict: fc.option(pick('j <= i', `abs(i.x - j.x) <= 2`), { freq: 3, nil: undefined }),
        add: fc.boolean(),
        heads: pick(1, 2),
        batch: pick(1, 1, 2),
        seed: fc.nat(1000),
      })
      .map(({ grid, rules, restrict, add, heads, batch, seed }): RandomPattern => {
        const length = grid.reduce((a, b) => a * b, 1);
        const lengths = Array.from({ length: batch }, () => length);
        const text = [
          'pattern random(w: int in 1 .. 99 = 2) {',
          `  tokens (${axes.map((a, n) => `${a}: ${n === 0 ? '?' : grid[n]}`).join(', ')})`,
          '  input u: int[tokens]',
          '  input g: bool[tokens]',
          ...(add ? ['  overlaps add'] : []),
          ...(restrict === undefined ? [] : [`  restrict ${restrict}`]),
          ...rules.map((r) => `  ${r}`),
          '}',
          '',
        ].join('\n');
        return { text, heads, batch, keys: lengths, queries: lengths, grid, seed };
      });
  });
}
