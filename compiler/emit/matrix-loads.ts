import type { MatrixLayout } from './matrix-layout.js';
import { rowStart } from './place.js';
import type { Shader } from './shader.js';
import type { SideFacts, SideReads } from './side-facts.js';
import { lines, wgsl } from './wgsl.js';

/** Queries into registers, keys and values into workgroup memory: rows of any index space, 16 bytes at a time. */

const leftType = ({ m, k }: MatrixLayout): string => `subgroup_matrix_left<f16, ${k}, ${m}>`;

/**
 * Statements that stage the queries and load each subgroup's own as matrices. All are read from memory at once, into
 * registers that nothing else needs yet, and pass through workgroup memory as many rows at a time as fit.
 */
export function stageQueries(shader: Shader, layout: MatrixLayout): string {
  const { rows, threads, keyPieces, keyStride, keyWidth, ownRows, blocks, m, k, dimSteps } = layout;
  const perRound = Math.min(rows, Math.floor(layout.staged / keyStride / ownRows) * ownRows);
  const rounds = Math.ceil(rows / perRound);
  const loads = (round: number): string => {
    const first = round === 0 ? 'first_row' : `(first_row - ${round * perRound}u)`;
    return lines(blocks, (b) =>
      lines(dimSteps, (d) => {
        const at = `${first} * ${keyStride}u + ${b * m * keyStride + (d * k) / 8}u`;
        return `query_${b}_${d} = subgroupMatrixLoad<${leftType(layout)}, row_major>(&staged, ${at}, ${keyStride}u);`;
      }).join('\n'),
    ).join('\n');
  };
  const guarded = (condition: string | undefined, body: string): string =>
    condition === undefined ? body : `if (${condition}) {\n${body}\n}`;
  /** The pieces that a thread copies in a round. */
  const copies = Array.from({ length: rounds }, (_, round) => {
    const count = Math.min(perRound, rows - round * perRound) * keyPieces;
    return Array.from({ length: Math.ceil(count / threads) }, (_, c) => ({
      name: `piece_${round}_${c}`,
      round,
      n: c === 0 ? 'thread' : `thread + ${c * threads}u`,
      guard: (c + 1) * threads <= count ? undefined : `thread + ${c * threads}u < ${count}u`,
    }));
  });
  const columns = `(column) % ${keyPieces}u`;
  const fetch = ({ name, round, n, guard }: (typeof copies)[number][number]): string => {
    const column = columns.replace('column', n);
    const inside = `i >= 0${keyWidth < keyPieces ? ` && ${column} < ${keyWidth}u` : ''}`;
    const row = `(${n}) / ${keyPieces}u${round === 0 ? '' : ` + ${round * perRound}u`}`;
    return wgsl`
      var ${name} = vec4<u32>();
      ${guarded(
        guard,
        wgsl`
        {
          let i = query_position(at, i32(at.tile), i32(${row}));
          if (${inside}) {
            ${name} = ${shader.bind('q')}[${rowStart(shader, 'q', 'u32(i - at.first)')} + ${column}];
          }
        }`,
      )}`;
  };
  const commit = ({ name, n, guard }: (typeof copies)[number][number]): string =>
    guarded(
      guard,
      `staged[((${n}) / ${keyPieces}u) * ${keyStride}u + ${columns.replace('column', n)}] = ${name};`,
    );
  return wgsl`
    // The subgroup's queries, as matrices.
    ${lines(blocks, (b) => lines(dimSteps, (d) => `var query_${b}_${d}: ${leftType(layout)};`).join('\n'))}
    {
      ${copies.flat().map(fetch)}
      ${lines(rounds, (round) => {
        const [first, end] = [round * perRound, (round + 1) * perRound];
        const own =
          rounds === 1
            ? undefined
            : [
                ...(round > 0 ? [`first_row >= ${first}u`] : []),
                ...(end < rows ? [`first_row < ${end}u`] : []),
              ];
        return wgsl`
          ${round > 0 ? 'workgroupBarrier();' : ''}
          ${copies[round].map(commit)}
          workgroupBarrier();
          ${guarded(own?.join(' && '), loads(round))}`;
      })}
    }`;
}

/** Pieces that each thread copies of the keys, and of the values. */
const copies = (layout: MatrixLayout, pieces: number): number =>
  Math.ceil((layout.keys * pieces) / layout.threads);

/** How a kernel finds where its keys are. */
export interface KeyFinding {
  /** By `key_line`: they are evenly spaced. */
  readonly affine: boolean;
  /** Their grid coordinates, where masks want them: from the positions, or without divisions by `key_place`. */
  readonly places: 'none' | 'from positions' | 'found';
  /** What of tables masks are told. */
  readonly reads: SideReads;
}

/** Do kernels find the positions of keys by the line that they lie on, wherever they want them? */
export const onLine = ({ steady }: MatrixLayout, { affine }: KeyFinding): boolean => steady && affine;

/**
 * Must what isn't there be 0? Steady kernels mask its scores, so that it has no weight; and if 0 times that is NaN, the
 * row is done again with care. (What pads rows of the tensors must be 0.)
 */
const zeroed = (layout: MatrixLayout, kind: 'key' | 'value'): boolean =>
  !layout.steady ||
  (kind === 'key' ? layout.keyWidth < layout.keyPieces : layout.valueWidth < layout.valuePieces);

/** Do some threads find the position of a key each? */
const findsPositions = (layout: MatrixLayout, finding: KeyFinding): boolean =>
  !onLine(layout, finding) || finding.reads.j.length > 0 || finding.places !== 'none';

/** What masks are told of rows and keys. */
export const factsOf = ({ places, reads }: KeyFinding): SideFacts => ({ places: places !== 'none', reads });

/** Declares the registers in which the next keys and values wait. */
export function fetchVariables(layout: MatrixLayout, finding: KeyFinding): string {
  const { places, reads } = finding;
  const finds = findsPositions(layout, finding);
  const both = [...copiesOf(layout, 'key'), ...copiesOf(layout, 'value')];
  return [
    ...both.map(({ name }) => `var ${name}: vec4<u32>;`),
    ...[...new Set(both.map(({ there }) => there))].map((there) =>
      there === undefined ? '' : `var ${there} = false;`,
    ),
    ...(finds ? lines(copies(layout, 1), (n) => `var position_${n} = -1;`) : []),
    ...(places === 'found' ? lines(copies(layout, 1), (n) => `var place_${n}: vec4<i32>;`) : []),
    ...lines(copies(layout, 1), (n) =>
      reads.j.map((_, r) => `var word_${n}_${r} = 0u;\nvar has_word_${n}_${r} = false;`).join('\n'),
    ),
  ].join('\n');
}

interface Copy {
  readonly name: string;
  readonly number: string;
  readonly guard: string | undefined;
  readonly pieces: number;
  /** The variable that says whether there is such a piece, if that matters. */
  readonly there: string | undefined;
}

/** Are rows of keys and values of one width? Then a thread copies the same pieces of both. */
const alike = ({ keyPieces, keyWidth, valuePieces, valueWidth }: MatrixLayout): boolean =>
  keyPieces === valuePieces && keyWidth === valueWidth;

function copiesOf(layout: MatrixLayout, kind: 'key' | 'value'): readonly Copy[] {
  const pieces = kind === 'key' ? layout.keyPieces : layout.valuePieces;
  return Array.from({ length: copies(layout, pieces) }, (_, n) => {
    const number = n === 0 ? 'thread' : `thread + ${n * layout.threads}u`;
    const all = layout.keys * pieces;
    const guard = (n + 1) * layout.threads <= all ? undefined : `${number} < ${all}u`;
    const there = !zeroed(layout, kind) ? undefined : alike(layout) ? `there_${n}` : `${kind}_there_${n}`;
    return { name: `${kind}_${n}`, number, guard, pieces, there };
  });
}

const partOffset = (layout: MatrixLayout): string => (layout.parts === 1 ? '' : ` + part * ${layout.keys}u`);

/** A statement for each key whose position the thread finds, if it finds any: its number among those, and in the tile. */
function positions(
  layout: MatrixLayout,
  finding: KeyFinding,
  line: (n: number, r: string) => string,
): readonly string[] {
  if (!findsPositions(layout, finding)) return [];
  const { keys, threads } = layout;
  return lines(copies(layout, 1), (n) => {
    const r = n === 0 ? 'thread' : `thread + ${n * threads}u`;
    return (n + 1) * threads <= keys ? line(n, r) : `if (${r} < ${keys}u) {\n${line(n, r)}\n}`;
  });
}

/** A fetched piece, or zeros where there is none: told apart only now, so that nothing waits for what was fetched. */
const present = ({ name, there }: Copy): string =>
  there === undefined ? name : `select(vec4<u32>(), ${name}, ${there})`;

/** Statements that read the keys and values of `next` into registers. */
export function fetchTile(shader: Shader, layout: MatrixLayout, finding: KeyFinding): string {
  const { affine, places, reads } = finding;
  const position = (r: string): string =>
    affine
      ? layout.steady && reads.j.length === 0
        ? `line.x + line.y * min(i32(${r}), line.z - 1)`
        : `select(-1, line.x + line.y * i32(${r}), i32(${r}) < line.z)`
      : `key_position(at, next.segment, next.tile, i32(${r}))`;
  const same = alike(layout);
  const values = copiesOf(layout, 'value');
  const one = (copy: Copy, n: number): string => {
    const column = `(${copy.number}) % ${copy.pieces}u`;
    const isKey = copy.name.startsWith('key');
    const [width, pieces] = isKey
      ? [layout.keyWidth, layout.keyPieces]
      : [layout.valueWidth, layout.valuePieces];
    const body = wgsl`
      let j = ${position(`(${copy.number}) / ${copy.pieces}u${partOffset(layout)}`)};
      ${copy.name} = load_${isKey ? 'key' : 'value'}(at, j, ${column});
      ${isKey && same ? `${values[n].name} = load_value(at, j, ${column});` : ''}
      ${copy.there === undefined ? '' : `${copy.there} = j >= 0${width < pieces ? ` && ${column} < ${width}u` : ''};`}`;
    return copy.guard
      ? wgsl`
        if (${copy.guard}) {
          ${body}
        }`
      : wgsl`
        {
          ${body}
        }`;
  };
  return wgsl`
    ${positions(layout, finding, (n, r) => {
      const key = `${r}${partOffset(layout)}`;
      const place = `place_${n} = key_place(at, next.segment, next.tile, i32(${key}));`;
      // Told apart from what is not there only when it is stored, so that nothing waits for what was read.
      const words = reads.j.map(
        (_, w) => wgsl`
        {
          let read = key_read_${w}(at, position_${n});
          word_${n}_${w} = ${shader.bind('tables')}[read.x];
          has_word_${n}_${w} = read.y != 0u;
        }`,
      );
      return [`position_${n} = ${position(key)};`, ...(places === 'found' ? [place] : []), ...words].join(
        '\n',
      );
    })}
    ${copiesOf(layout, 'key').map(one)}
    ${same ? '' : values.map(one)}`;
}

/**
 * Statements that put the fetched keys and values into workgroup memory.
 * @param mayCare whether the kernel may be at it with care
 */
export function commitTile(
  shader: Shader,
  layout: MatrixLayout,
  finding: KeyFinding,
  mayCare: boolean,
): string {
  const clear = wgsl`
    if (careful) {
      if (thread < 2u) {
        atomicStore(&flags[thread], 0u);
      }
      workgroupBarrier();
      ${copiesOf(layout, 'value').map((copy) => `${copy.name} = checked_value(${present(copy)}, (${copy.number}) / ${copy.pieces}u);`)}
    }
    ${
      layout.lone
        ? ''
        : wgsl`
          if (thread == 0u) {
            atomicStore(&flags[RESCALE], 0u);
          }`
    }`;
  const place = (n: number): string =>
    finding.places === 'found' ? `place_${n}` : `grid_place(position_${n})`;
  const words = (n: number): string =>
    `vec4<u32>(${lines(4, (w) => (w < finding.reads.j.length ? `select(0u, word_${n}_${w}, has_word_${n}_${w})` : '0u')).join(', ')})`;
  return wgsl`
    ${layout.prefetch ? '' : [fetchVariables(layout, finding), fetchTile(shader, layout, finding)]}
    ${mayCare ? clear : ''}
    ${positions(layout, finding, (n, r) =>
      [
        ...(onLine(layout, finding) ? [] : [`key_positions[${r}] = position_${n};`]),
        ...(finding.places === 'none' ? [] : [`key_places[${r}] = ${place(n)};`]),
        ...(finding.reads.j.length === 0 ? [] : [`key_reads[${r}] = ${words(n)};`]),
      ].join('\n'),
    )}
    ${commitKeys(layout)}
    ${copiesOf(layout, 'value').map((copy) => stage(layout, copy))}`;
}

/** Statements that put the fetched keys alone there. */
export const commitKeys = (layout: MatrixLayout): readonly string[] =>
  copiesOf(layout, 'key').map((copy) => stage(layout, copy));

function stage(layout: MatrixLayout, copy: Copy): string {
  const isKey = copy.name.startsWith('key');
  const stride = isKey ? layout.keyStride : layout.valueStride;
  const at = `((${copy.number}) / ${copy.pieces}u) * ${stride}u + (${copy.number}) % ${copy.pieces}u`;
  const line = `staged[${isKey ? '' : 'VALUES_AT + '}${at}] = ${present(copy)};`;
  return copy.guard ? `if (${copy.guard}) {\n  ${line}\n}` : line;
}

/** Functions that read a piece of a row. */
export function emitFetch(shader: Shader, layout: MatrixLayout): readonly string[] {
  const load = (kind: 'key' | 'value', tensor: 'k' | 'v', width: number, pieces: number): string => wgsl`
    // 8 numbers of a ${kind}'s row; of another place where there is none, without a branch that would wait for them.
    fn load_${kind}(at: Place, j: i32, piece: u32) -> vec4<u32> {
      return ${shader.bind(tensor)}[${rowStart(shader, tensor, 'u32(max(j, 0))')} + ${width < pieces ? `min(piece, ${width - 1}u)` : 'piece'}];
    }`;
  return [
    load('key', 'k', layout.keyWidth, layout.keyPieces),
    load('value', 'v', layout.valueWidth, layout.valuePieces),
    layout.care === 'later'
      ? ''
      : wgsl`
    // With care, a piece with NaN or infinity in it becomes 0, and its key is marked.
    fn checked_value(value: vec4<u32>, key: u32) -> vec4<u32> {
      // Of a half with all bits of the exponent set, adding 1 to the exponent sets the sign.
      let carried = (value & vec4<u32>(0x7c007c00u)) + vec4<u32>(0x04000400u);
      if (any((carried & vec4<u32>(0x80008000u)) != vec4<u32>())) {
        atomicOr(&flags[key >> 5u], 1u << (key & 31u));
        return vec4<u32>();
      }
      return value;
    }`,
  ];
}
