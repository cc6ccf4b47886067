/** Suggestions for misspelt names. */

/** The candidate most like `name`, if one is alike enough to be meant (a third of its letters may differ). */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(name.length / 3)) + 1;
  const lower = name.toLowerCase();
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) >= least) continue;
    if (Math.max(candidate.length, name.length) > 100) continue;
    const other = candidate.toLowerCase();
    // Half a step for names that differ in case only; a one-letter name is like no other letter.
    const distance = other === lower ? 0.5 : editDistance(lower, other);
    if (distance < least && distance < Math.max(name.length, candidate.length)) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** Letters to insert, delete, change or swap with a neighbour. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, k) => k);
  for (let r = 1; r <= a.length; r++) {
    const row = [r];
    for (let c = 1; c <= b.length; c++) {
      const same = a[r - 1] === b[c - 1];
      let least = Math.min(last[c]! + 1, row[c - 1]! + 1, last[c - 1]! + (same ? 0 : 1));
      if (r > 1 && c > 1 && a[r - 1] === b[c - 2] && a[r - 2] === b[c - 1]) {
        least = Math.min(least, beforeLast[c - 2]! + 1);
      }
      row.push(least);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}
