import { variable } from '../ir/build.js';
import { rewrite, same, some, walk, type Expr, type InputRead } from '../ir/expr.js';
import { coordinateLets } from './coordinates.js';
import { printAll } from './expression.js';
import { tablePlace } from './inputs.js';
import type { Shader } from './shader.js';
import { pairName, printerFor, type Target } from './target.js';
import { lines, wgsl } from './wgsl.js';

/**
 * What masks are told of the two sides of a pair besides positions, found once for each row and key instead of for
 * each pair: grid coordinates (`i_place`, `j_place`), and words of tables that one side alone decides on (`i_reads`,
 * `j_reads`), such as both of `doc[i] == doc[j]`.
 */
export interface SideFacts {
  readonly places: boolean;
  readonly reads: SideReads;
}

export interface SideReads {
  /** At most four tables' elements that depend on the row, or on the key. */
  readonly i: readonly InputRead[];
  readonly j: readonly InputRead[];
  /** The segments' conditions, with variables `i.read.0`, … in their place. */
  readonly rules: readonly Expr[];
}

/** Words of a vec4. */
const MOST = 4;

const isSide = (name: string, side: 'i' | 'j'): boolean => name === side || name.startsWith(`${side}.`);

/** Does the expression depend on this side, and not on the other? */
function isOf(e: Expr, side: 'i' | 'j'): boolean {
  const mentions = (s: 'i' | 'j'): boolean => some(e, (n) => n.op === 'var' && isSide(n.name, s));
  return mentions(side) && !mentions(side === 'i' ? 'j' : 'i');
}

/** Reads of tables in the rules that are worth it. Those inside of others' indices are left where they are. */
export function sideReads(rules: readonly Expr[]): SideReads {
  const found: Record<'i' | 'j', InputRead[]> = { i: [], j: [] };
  const nested = new Set<Expr>();
  walk(rules, (e) => {
    if (e.op === 'table') e.args.forEach((a) => walk([a], (n) => nested.add(n)));
  });
  const isRead = (e: Expr): boolean =>
    e.op === 'table' || e.op === 'edge' || (e.op === 'var' && e.name.includes('.read.'));
  const nameOf = (e: Expr): string | undefined => {
    if (e.op !== 'table' || e.args.some((a) => some(a, isRead))) return undefined;
    const side = (['i', 'j'] as const).find((s) => isOf(e, s));
    if (!side) return undefined;
    const known = found[side];
    let n = known.findIndex((k) => same(k, e));
    if (n < 0) {
      if (known.length === MOST || nested.has(e)) return undefined;
      n = known.push(e) - 1;
    }
    return `${side}.read.${n}`;
  };
  const replaced = rules.map((rule) =>
    rewrite(rule, (e) => {
      const name = nameOf(e);
      return name === undefined ? e : variable(name, e.type);
    }),
  );
  return { ...found, rules: replaced };
}

/** Sampled keys and edges of graphs are searched for, in loops. */
const SEARCHES: readonly Expr['op'][] = ['sample', 'sample_at', 'edge', 'weight'];
const READS: readonly Expr['op'][] = ['table', 'table_min', 'table_max', 'edges_any', 'edges_all'];

/** Most operations of rules that are short. */
const SHORT = 40;

function areShort(rules: readonly Expr[], without: readonly Expr['op'][]): boolean {
  let count = 0;
  let found = false;
  walk(rules, (e) => {
    count++;
    found ||= without.includes(e.op);
  });
  return !found && count <= SHORT;
}

/** Are the rules short enough to be tested in registers, where their text comes for every four scores? */
export const masksInPlace = (rules: readonly Expr[]): boolean => areShort(rules, SEARCHES);

/** Are they arithmetic alone, too? Then evaluating all of them costs less than branches around parts. */
export const isFlat = (rules: readonly Expr[]): boolean => areShort(rules, [...SEARCHES, ...READS]);

/** WGSL of a variable that stands for a read. */
export function readName(reads: SideReads, name: string): string | undefined {
  const parts = /^([ij])\.read\.(\d)$/.exec(name);
  if (!parts) return undefined;
  const [side, n] = [parts[1] as 'i' | 'j', Number(parts[2])];
  const word = `${side}_reads.${'xyzw'[n]}`;
  switch (reads[side][n].type) {
    case 'int':
      return `bitcast<i32>(${word})`;
    case 'float':
      return `bitcast<f32>(${word})`;
    case 'bool':
      return `(${word} != 0u)`;
  }
}

const kinds = ({
  places,
  reads,
}: SideFacts): readonly {
  readonly name: string;
  readonly type: string;
  readonly i: boolean;
  readonly j: boolean;
}[] => [
  { name: 'place', type: 'vec4<i32>', i: places, j: places },
  { name: 'reads', type: 'vec4<u32>', i: reads.i.length > 0, j: reads.j.length > 0 },
];

/** Parameters of a function that is told of these sides; after others. */
export const sideParameters = (facts: SideFacts, ...sides: readonly ('i' | 'j')[]): string =>
  sides
    .flatMap((side) => kinds(facts).flatMap((k) => (k[side] ? `, ${side}_${k.name}: ${k.type}` : [])))
    .join('');

/** And what is given for them; of block b of the rows, if that is said. */
export const sideArguments = (facts: SideFacts, sides: readonly ('i' | 'j')[], b?: number): string =>
  sides
    .flatMap((side) =>
      kinds(facts).flatMap((k) => (k[side] ? `, ${side}_${k.name}${b === undefined ? '' : `_${b}`}` : [])),
    )
    .join('');

/** `row_read_0(at, i)`, `key_read_0(at, j)`, …: the word of `tables` to read, and 1 if there is one, or else 0. */
export function emitReadPlaces(shader: Shader, target: Target, reads: SideReads): readonly string[] {
  const one = (side: 'i' | 'j', read: InputRead, n: number): string => {
    const printed = printAll(read.args, printerFor(shader, target, pairName));
    const place = tablePlace(shader, read.name, printed.values);
    return wgsl`
      fn ${side === 'i' ? 'row' : 'key'}_read_${n}(at: Place, ${side}: i32) -> vec2<u32> {
        ${coordinateLets(shader, target, read.args)}
        ${printed.lets}
        let inside = ${place.inside};
        return vec2<u32>(select(0u, ${place.word}, inside), u32(inside));
      }`;
  };
  return [...reads.i.map((r, n) => one('i', r, n)), ...reads.j.map((r, n) => one('j', r, n))];
}

/** A vec4 of the words that a row reads. */
export function rowReads(shader: Shader, { i }: SideReads, position: string): string {
  const words = lines(MOST, (n) => (n < i.length ? `row_word(row_read_${n}(at, ${position}))` : '0u'));
  shader.helper(
    'row_word',
    () => wgsl`
    // 0 where there is none.
    fn row_word(read: vec2<u32>) -> u32 {
      return select(0u, ${shader.bind('tables')}[read.x], read.y != 0u);
    }`,
  );
  return `vec4<u32>(${words.join(', ')})`;
}
