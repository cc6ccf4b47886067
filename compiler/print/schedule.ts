import type { Expr } from '../ir/expr.js';
import type { GatherPass, Interval, Schedule, Seed, Segment, Space, TilePass } from '../ir/schedule.js';
import { printExpr, printShared, type ExpressionOptions } from './expression.js';

/** Schedules as text: passes, their index spaces, and of every segment what is kept and where it is looked for. */
export function printSchedules(schedules: readonly Schedule[], axes: readonly string[] = []): string {
  return schedules.map((s) => printSchedule(s, axes)).join('\n');
}

export function printSchedule(schedule: Schedule, axes: readonly string[] = []): string {
  const options = { axes };
  const lines = [`schedule ${schedule.name}`, `  when ${printExpr(schedule.when, options)}`];
  schedule.passes.forEach((pass, n) => {
    const printed = pass.kind === 'tiles' ? tileLines(pass, options) : gatherLines(pass, options);
    lines.push(`  pass ${n + 1}: ${printed[0]}`, ...printed.slice(1).map((l) => `    ${l}`));
  });
  return `${lines.join('\n')}\n`;
}

function tileLines(pass: TilePass, options: ExpressionOptions): string[] {
  const planner = pass.plan === 'kernel' ? 'planned by the kernel' : 'planned on the host';
  const lines = [`tiles of ${pass.queries.name}, ${planner}${pass.complete ? ', every row' : ''}`];
  lines.push(...spaceLines('queries', pass.queries, options));
  pass.segments.forEach((s, n) => {
    lines.push(`segment ${n + 1}: keys by ${s.space.name}, for ${s.labels.join(', ')}`);
    lines.push(...segmentLines(s, options).map((l) => `  ${l}`));
  });
  return lines;
}

function segmentLines(s: Segment, options: ExpressionOptions): readonly string[] {
  const keys = spaceLines('keys', s.space, options);
  const roots: { name: string; expr: Expr }[] = [
    { name: 'keep', expr: s.keep },
    { name: 'any', expr: s.any },
    { name: 'all', expr: s.all },
  ];
  // Of a box, all cells are looked at.
  if (s.space.kind === 'box') return [...keys, ...printShared(roots, options)];
  s.intervals?.forEach((interval, n) => roots.push(...intervalRoots(`interval${n + 1}`, interval)));
  s.seeds.forEach((seed, n) => roots.push(...seedRoots(`seed${n + 1}`, seed)));
  return [...keys, ...printShared(roots, options)];
}

function intervalRoots(name: string, interval: Interval): { name: string; expr: Expr }[] {
  return interval.lo.flatMap((lo, axis) => {
    const at = interval.lo.length > 1 ? `${name}.${axis}` : name;
    return [
      { name: `${at}.lo`, expr: lo },
      { name: `${at}.hi`, expr: interval.hi[axis] },
    ];
  });
}

function seedRoots(name: string, seed: Seed): { name: string; expr: Expr }[] {
  const ends = (lo: Expr, hi: Expr): { name: string; expr: Expr }[] => [
    { name: `${name}.lo`, expr: lo },
    { name: `${name}.hi`, expr: hi },
  ];
  switch (seed.kind) {
    case 'interval':
      return intervalRoots(name, seed);
    case 'sample': {
      const args = seed.args.map((expr, n) => ({ name: `${name}.sample.${n}`, expr }));
      return [...args, ...ends(seed.lo, seed.hi)];
    }
    case 'edges':
      return [
        { name: `${name}.${seed.input}.row.lo`, expr: seed.rowLo },
        { name: `${name}.${seed.input}.row.hi`, expr: seed.rowHi },
        ...ends(seed.lo, seed.hi),
      ];
  }
}

function spaceLines(side: string, space: Space, options: ExpressionOptions): string[] {
  const text = (e: Expr): string => printExpr(e, options);
  switch (space.kind) {
    case 'line':
      // Rows in order need no words.
      if (space.name === 'rows') return [];
      return [
        `${side}: ${text(space.classes)} classes of ${text(space.size)}, position ${text(space.position)}`,
        `${side}: ≡ ${text(space.residue)} (mod ${text(space.modulus)})`,
      ];
    case 'list':
      return [`${side}: list ${space.list}, those with ${text(space.condition)}`];
    case 'grid':
      return [`${side}: boxes of ${space.tile.join(' × ')} in ${space.sizes.map(text).join(' × ')}`];
    case 'box':
      return space.lo.map((lo, n) => {
        const axis = options.axes?.[n] ?? `axis${n}`;
        return `${side}: cells with ${axis} in ${text(lo)} .. ${text(space.hi[n])}`;
      });
  }
}

function gatherLines(pass: GatherPass, options: ExpressionOptions): string[] {
  const text = (e: Expr): string => printExpr(e, options);
  const from = pass.neighbours;
  const source =
    from.kind === 'graph'
      ? `row ${text(from.row)} of ${from.input}`
      : `${text(from.position)} for member in 0 ..< ${text(from.count)}`;
  return [
    `gather${pass.complete ? ', every row' : ''}, for ${pass.labels.join(', ')}`,
    `neighbours: ${source}`,
    ...printShared([{ name: 'keep', expr: pass.keep }], options),
  ];
}
