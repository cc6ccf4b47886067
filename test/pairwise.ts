/**
 * A short list of rows in which every two values of any two axes meet: far fewer rows than the full product, and it
 * still finds every fault that takes two axes to show. Greedy and deterministic: each row starts from a pair of values
 * that has not met yet and takes, axis by axis, the value that adds most new pairs.
 *
 *     pairwise({ n: [1, 64], heads: [1, 3] })  →  the 4 rows of the product; with more axes, hardly more rows
 */
export function pairwise<Axes extends Readonly<Record<string, readonly unknown[]>>>(
  axes: Axes,
): readonly { readonly [Name in keyof Axes]: Axes[Name][number] }[] {
  const names = Object.keys(axes);
  const sizes = names.map((name) => axes[name].length);
  const missing = unmetPairs(sizes);
  const rows: number[][] = [];
  // With one axis there are no pairs: its values themselves are the rows.
  if (names.length === 1) for (let value = 0; value < sizes[0]; value++) rows.push([value]);
  while (missing.size > 0) {
    const [first] = missing;
    const row = sizes.map(() => -1);
    const [a, x, b, y] = first.split(' ').map(Number);
    row[a] = x;
    row[b] = y;
    for (let axis = 0; axis < sizes.length; axis++)
      if (row[axis] < 0) row[axis] = bestValue(row, axis, sizes, missing);
    for (const pair of pairsOf(row)) missing.delete(pair);
    rows.push(row);
  }
  return rows.map(
    (row) =>
      Object.fromEntries(names.map((name, axis) => [name, axes[name][row[axis]]])) as {
        readonly [Name in keyof Axes]: Axes[Name][number];
      },
  );
}

/** `axis value axis value`, the smaller axis first. */
function pairKey(a: number, x: number, b: number, y: number): string {
  return a < b ? `${a} ${x} ${b} ${y}` : `${b} ${y} ${a} ${x}`;
}

function unmetPairs(sizes: readonly number[]): Set<string> {
  const pairs = new Set<string>();
  for (let a = 0; a < sizes.length; a++) {
    for (let b = a + 1; b < sizes.length; b++) {
      for (let x = 0; x < sizes[a]; x++) for (let y = 0; y < sizes[b]; y++) pairs.add(pairKey(a, x, b, y));
    }
  }
  return pairs;
}

/** The value of `axis` that meets most values of the axes already chosen for the first time. */
function bestValue(
  row: readonly number[],
  axis: number,
  sizes: readonly number[],
  missing: ReadonlySet<string>,
): number {
  let best = 0;
  let most = -1;
  for (let value = 0; value < sizes[axis]; value++) {
    const gain = row.filter((x, other) => x >= 0 && missing.has(pairKey(axis, value, other, x))).length;
    if (gain > most) [best, most] = [value, gain];
  }
  return best;
}

function pairsOf(row: readonly number[]): readonly string[] {
  return row.flatMap((x, a) => row.slice(a + 1).map((y, n) => pairKey(a, x, a + 1 + n, y)));
}
