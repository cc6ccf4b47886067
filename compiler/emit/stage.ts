import type { Layout } from './layout.js';
import { rowStart } from './place.js';
import type { Shader } from './shader.js';
import { lines, wgsl } from './wgsl.js';

/** Staging of queries, keys and values: rows of any index space, NaN and infinity kept out. */

/** Something that all threads of a workgroup bring to workgroup memory together, vec4 by vec4. */
interface Load {
  readonly name: 'queries' | 'keys' | 'values';
  readonly comment: string;
  /** What says which vec4s of the tensor are meant: of `fetch_…`, or of both. */
  readonly parameters: string;
  readonly vec4s: number;
  /** Of vec4 n: `row` (a query's or key's number in the tile) and what else its places need. */
  readonly find: (n: string) => string;
  /** Statements that give `position`, and the column of the tensor's row. */
  readonly from: (n: string) => string;
  /** Is there such a vec4? */
  readonly exists: string;
  readonly source: string;
  readonly target: (n: string) => string;
  readonly bad: 'bad_queries' | 'bad_keys';
}

function loadsOf(shader: Shader, layout: Layout): readonly Load[] {
  const { chunk, lanes, keepQueries, width, valueWidth } = layout;
  const inHead = width % chunk === 0 ? '' : ` && column < ${width}u`;
  const inValues = valueWidth % 16 === 0 ? '' : ` && column < ${valueWidth}u`;
  const inChunk = (n: string): string => wgsl`
    let row = ${n} >> ${Math.log2(chunk)}u;
    let piece = ${n} & ${chunk - 1}u;`;
  const column = `let column = ${chunk}u * chunk + piece;`;
  const bind = (tensor: 'q' | 'k' | 'v', row: string): string =>
    `${shader.bind(tensor)}[${rowStart(shader, tensor, row)} + column]`;
  return [
    {
      name: 'queries',
      comment: `${4 * chunk} columns of the queries; a bad one becomes 0, and its row is marked.`,
      parameters: 'chunk: u32',
      vec4s: chunk * layout.rows,
      find: inChunk,
      from: () => `let position = query_positions[row];\n${column}`,
      exists: `position >= 0${inHead}`,
      source: bind('q', 'u32(position - at.first)'),
      target: () => `${layout.queryStride}u * ${keepQueries ? 'column' : 'piece'} + row`,
      bad: 'bad_queries',
    },
    {
      name: 'keys',
      comment: `${4 * chunk} columns of the keys; a bad one becomes 0, and the key is marked.`,
      parameters: 'chunk: u32',
      vec4s: chunk * 64,
      find: inChunk,
      from: () => `let position = key_positions[row];\n${column}`,
      exists: `position >= 0${inHead}`,
      source: bind('k', 'u32(position)'),
      target: () => `KEYS_AT + ${layout.keyStride}u * piece + row`,
      bad: 'bad_keys',
    },
    {
      name: 'values',
      comment: `64 columns of the values of 16 keys, in the order of 4 g + c: ${lanes === 16 ? '4 part + g + 16 c' : '4 (part & 1) + g + 32 (part >> 1) + 8 c'}.`,
      parameters: 'part: u32, first_column: u32',
      vec4s: 256,
      find: (n) => wgsl`
        let slot = ${n} >> 4u;
        let row = ${lanes === 16 ? '4u * part' : '4u * (part & 1u) + 32u * (part >> 1u)'} + (slot >> 2u) + ${lanes}u * (slot & 3u);`,
      from: (n) => `let position = key_positions[row];\nlet column = first_column + (${n} & 15u);`,
      exists: `position >= 0${inValues}`,
      source: bind('v', 'u32(position)'),
      target: (n) => `VALUES_AT + ${n}`,
      bad: 'bad_keys',
    },
  ];
}

export function emitLoads(shader: Shader, layout: Layout): readonly string[] {
  const ahead = (load: Load): boolean => layout.prefetch && !(layout.keepQueries && load.name === 'queries');
  return [
    wgsl`
    // Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
    fn is_bad(value: vec4<f32>) -> bool {
      let exponent = vec4<u32>(INFINITY_BITS);
      return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
    }`,
    ...loadsOf(shader, layout).map((load) =>
      ahead(load) ? fetchAndStage(load, layout) : loadAtOnce(load, layout),
    ),
  ];
}

/** Statements that put `value` where it belongs, if it is a number. */
const stage = ({ bad, target }: Load, n: string): string => wgsl`
  if (is_bad(value)) {
    value = vec4<f32>();
    atomicOr(&${bad}[row >> 5u], 1u << (row & 31u));
    flagged = 1u;
  }
  staged[${target(n)}] = value;`;

function loadAtOnce(load: Load, { threads }: Layout): string {
  const body = (n: string): string => wgsl`
    ${load.find(n)}
    ${load.from(n)}
    var value = vec4<f32>();
    if (${load.exists}) {
      value = read_quad(${load.source});
    }
    ${stage(load, n)}`;
  const all =
    load.vec4s === threads
      ? body('lane')
      : load.vec4s < threads
        ? wgsl`
          if (lane < ${load.vec4s}u) {
            ${body('lane')}
          }`
        : wgsl`
          for (var n = lane; n < ${load.vec4s}u; n += ${threads}u) {
            ${body('n')}
          }`;
  return wgsl`
    // Stages ${load.comment}
    fn load_${load.name}(at: Place, ${load.parameters}) {
      ${all}
    }`;
}

/** The two halves of it: into registers as it lies in memory, and from there. */
function fetchAndStage(load: Load, { threads }: Layout): string {
  const turns = load.vec4s / threads;
  if (!Number.isInteger(turns)) throw new Error(`${load.vec4s} vec4s for ${threads} threads`);
  const each = (body: (n: string, register: string) => string): readonly string[] =>
    lines(turns, (m) => {
      const text = body(turns === 1 ? 'lane' : 'n', `fetched_${load.name}[${m}]`);
      if (turns === 1) return text;
      return wgsl`
        {
          let n = lane${m === 0 ? '' : ` + ${m * threads}u`};
          ${text}
        }`;
    });
  return wgsl`
    // Fetches ${load.comment.split(';')[0]}
    var<private> fetched_${load.name}: array<Quad, ${turns}>;
    fn fetch_${load.name}(at: Place, ${load.parameters}) {
      ${each(
        (n, register) => wgsl`
        ${load.find(n)}
        ${load.from(n)}
        ${register} = Quad();
        if (${load.exists}) {
          ${register} = ${load.source};
        }`,
      )}
    }
    // Stages them; a bad one becomes 0, and its ${load.name === 'queries' ? 'row' : 'key'} is marked.
    fn stage_${load.name}(${load.name === 'values' ? 'part: u32' : ''}) {
      ${each(
        (n, register) => wgsl`
        ${load.find(n)}
        var value = read_quad(${register});
        ${stage(load, n)}`,
      )}
    }`;
}
