import { percent } from '../cli/text.js';
import { CLOCK_UP } from '../runtime/timing/index.js';
import { PEER_NAMES, type Goal, type Peer } from './rows.js';
import type { Results, RowResult } from './results.js';
import { LIMITS, type GoalVerdict, type PeerTime } from './verdict.js';

/** The results as Markdown. */

const digits = (x: number, n = 3): string => Number(x.toPrecision(n)).toString();

export const ms = (x: number): string => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : digits(x));

function table(head: readonly string[], align: string, rows: readonly (readonly string[])[]): string {
  const widths = head.map((h, n) => Math.max(3, h.length, ...rows.map((r) => r[n].length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((c, n) => (align[n] === 'r' ? c.padStart(widths[n]) : c.padEnd(widths[n]))).join(' | ')} |`;
  const rule = widths.map((w, n) => (align[n] === 'r' ? `${'-'.repeat(w - 1)}:` : '-'.repeat(w)));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

export function markdown(results: Results): string {
  const asked = results.rows.filter((r) => r.row.goals.length > 0);
  const growth = results.rows.filter((r) => r.row.group === 'growth');
  const others = results.rows.filter((r) => r.row.goals.length === 0 && r.row.group !== 'growth');
  const problems = results.rows.flatMap(problemsOf);
  return [
    heading(results),
    ...(asked.length > 0 ? [goalTable(asked), summary(asked)] : []),
    ...(asked.length + others.length > 0 ? [detailTable([...asked, ...others], results)] : []),
    ...(growth.length > 0 ? [growthTable(growth)] : []),
    ...(problems.length > 0 ? [`Not available:\n\n${problems.map((p) => `- ${p}`).join('\n')}`] : []),
  ].join('\n\n');
}

function heading({ date, card, versions, ceilings, small }: Results): string {
  const known = Object.entries(versions)
    .filter(([, v]) => v !== undefined && v !== null)
    .map(([name, v]) => `${name} ${String(v)}`);
  const matrix =
    ceilings.matrix === undefined
      ? 'no subgroup matrices'
      : `${(ceilings.matrix / 1e12).toFixed(0)} TFLOP/s on subgroup matrices (${ceilings.matrixShape})`;
  return (
    `${date.slice(0, 10)}, ${card}: ${known.join(', ')}. Measured at best: copy ${(ceilings.copy / 1e12).toFixed(2)} TB/s, ` +
    `${(ceilings.f32 / 1e12).toFixed(1)} TFLOP/s of f32 multiply-adds, ${matrix}.` +
    (small ? ' **Small sizes, to try the comparison out: its times mean nothing.**' : '')
  );
}

const MARK = { reached: '✓', missed: '✗', unknown: '?', none: '' } as const;

/** A line for each goal of a row, then one for each other peer. */
function goalTable(rows: readonly RowResult[]): string {
  const lines = rows.flatMap((r) => {
    const goals = r.goals.map((g): readonly string[] => [
      g.goal.peers.map((p) => PEER_NAMES[p]).join(' or '),
      peerTime(g.peer && r.peers[g.peer]),
      g.ratio === undefined ? '' : ratioText(g.ratio, g.goal),
      wanted(g.goal, g.goal.must, g.must),
      wanted(g.goal, g.goal.aim, g.aim),
    ]);
    const counted = r.goals.flatMap((g) => (g.goal.peers.length > 1 ? [] : g.goal.peers));
    const more = r.row.peers
      .filter((p, n) => !counted.includes(p) && r.row.peers.indexOf(p) === n)
      .map((p): readonly string[] => {
        const found = r.peers[p];
        const own = 'why' in r.off ? undefined : r.off.milliseconds.median;
        const timed = found && 'milliseconds' in found ? found.milliseconds.median : undefined;
        const ratio = own === undefined || timed === undefined ? '' : `${digits(own / timed)} × its time`;
        return [PEER_NAMES[p], peerTime(found), ratio, '', ''];
      });
    return [...goals, ...more].map((cells, n): readonly string[] => [
      ...(n === 0 ? [r.row.title, ownTime(r.off), r.on === undefined ? '' : ownTime(r.on)] : ['', '', '']),
      ...cells,
    ]);
  });
  return table(
    ['pattern', 'attnc, ms', 'robust, ms', 'against', 'its ms', 'ratio', 'must', 'aim'],
    'lrrlrrll',
    lines,
  );
}

const peerTime = (found: PeerTime | undefined): string =>
  found && 'milliseconds' in found ? ms(found.milliseconds.median) : 'n/a';

const ratioText = (ratio: number, goal: Goal): string =>
  goal.kind === 'time' ? `${digits(ratio)} × its time` : `${digits(ratio)} × its speed`;

const wanted = (goal: Goal, limit: number | undefined, mark: GoalVerdict['must']): string =>
  limit === undefined ? '' : `${goal.kind === 'time' ? '≤' : '≥'} ${digits(limit)} ${MARK[mark]}`;

const ownTime = (own: RowResult['off']): string => ('why' in own ? 'n/a' : ms(own.milliseconds.median));

function summary(rows: readonly RowResult[]): string {
  const goals = rows.flatMap((r) => r.goals);
  const count = (which: 'must' | 'aim', mark: GoalVerdict['must']): number =>
    goals.filter((g) => g[which] === mark).length;
  const all = (which: 'must' | 'aim'): number => goals.filter((g) => g[which] !== 'none').length;
  const unknown = count('must', 'unknown') + count('aim', 'unknown');
  return (
    `Reached: ${count('must', 'reached')} of ${all('must')} that must be, ${count('aim', 'reached')} of ${all('aim')} aims` +
    `${unknown > 0 ? ` (${unknown} unknown)` : ''}.`
  );
}

function detailTable(rows: readonly RowResult[], { ceilings }: Results): string {
  const lines = rows.map((r): string[] => {
    const own = r.off;
    if ('why' in own) return [r.row.title, 'n/a', '', '', '', '', '', '', ''];
    const seconds = own.milliseconds.median / 1000;
    const flops = own.flops / seconds;
    const ceiling = own.family === 'matrix' && ceilings.matrix ? ceilings.matrix : ceilings.f32;
    const parts = own.splits > 1 ? `, ${own.splits} parts` : '';
    const waste = own.issued / Math.max(1, own.needed);
    const limit = r.row.waste === undefined ? '' : ` (≤ ${r.row.waste} ${r.checks?.waste ? '✓' : '✗'})`;
    const error = Math.max(own.error, own.worstRow);
    const lost =
      r.on === undefined || 'why' in r.on
        ? undefined
        : r.on.milliseconds.median / own.milliseconds.median - 1;
    return [
      r.row.title,
      `${own.family}, ${own.schedule}${parts}`,
      `${ms(own.milliseconds.p10)} – ${ms(own.milliseconds.p90)}`,
      (flops / 1e12).toPrecision(3),
      percent(flops / ceiling),
      percent(own.bytes / seconds / ceilings.copy),
      `${waste.toFixed(2)}${limit}`,
      `${error.toExponential(1)} ${error <= LIMITS.error ? '✓' : '✗'}`,
      lost === undefined ? '' : `${(100 * lost).toFixed(0)} % ${r.checks?.robustness ? '✓' : '✗'}`,
    ];
  });
  return table(
    [
      'pattern',
      'kernels, schedule',
      'p10 – p90, ms',
      'TFLOP/s',
      'of arithmetic',
      'of copy',
      'waste',
      'error',
      'robustness costs',
    ],
    'llrrrrrrr',
    lines,
  );
}

/** A line for each pattern, a column for each length. */
function growthTable(rows: readonly RowResult[]): string {
  const lengths = [...new Set(rows.map((r) => r.row.shape.keys))].sort((a, b) => a - b);
  const patterns = [...new Set(rows.map((r) => r.row.pattern))];
  const { heads, dim } = rows[0].row.shape;
  const lines = patterns.map((pattern): string[] => [
    pattern,
    ...lengths.map((length) => {
      const found = rows.find((r) => r.row.pattern === pattern && r.row.shape.keys === length);
      return found ? ownTime(found.off) : '';
    }),
  ]);
  const head = [`ms, ${heads} heads × ${dim}`, ...lengths.map((n) => n.toLocaleString('en'))];
  return table(head, `l${'r'.repeat(lengths.length)}`, lines);
}

function problemsOf(r: RowResult): readonly string[] {
  const own = [
    { name: 'attnc', found: r.off },
    { name: 'attnc, robust', found: r.on },
  ].flatMap(({ name, found }) => {
    if (found === undefined) return [];
    if ('why' in found) return [`${r.row.title}, ${name}: ${found.why}`];
    const { clockShare } = found;
    if (clockShare === undefined || clockShare >= CLOCK_UP) return [];
    return [`${r.row.title}, ${name}: timed with the clock at ${percent(clockShare)} of its highest`];
  });
  const peers = (Object.entries(r.peers) as [Peer, RowResult['peers'][Peer]][]).flatMap(([peer, found]) =>
    found && 'why' in found ? [`${r.row.title}, ${PEER_NAMES[peer]}: ${found.why}`] : [],
  );
  return [...own, ...peers];
}
