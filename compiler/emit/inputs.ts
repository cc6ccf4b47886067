import type { InputDeclaration } from '../ir/edges.js';
import type { InputRead } from '../ir/expr.js';
import { partOf } from '../ir/graph-boxes.js';
import { TILE } from '../ir/schedule.js';
import type { Shader } from './shader.js';
import { identifier, lines, wgsl } from './wgsl.js';

/** Functions that read bound inputs: `table_NAME`, `edge_NAME`, `weight_NAME`. */

const WGSL_TYPES = { int: 'i32', float: 'f32', bool: 'bool' } as const;

/** Prints a read of an input on printed arguments. */
export function printRead(
  e: InputRead,
  args: readonly string[],
  shader: Shader,
  inputs: readonly InputDeclaration[],
): string {
  const list = args.join(', ');
  const name = identifier(e.name);
  switch (e.op) {
    case 'table': {
      const declared = inputs.find((x) => x.name === e.name);
      const type = declared === undefined || declared.type === 'edges' ? e.type : declared.type;
      return `${shader.helper(`table_${name}`, () => tableFunction(shader, e.name, type, args.length))}(${list})`;
    }
    case 'edge':
      findEdge(shader, e.name);
      return `${shader.helper(`edge_${name}`, () => (partOf(e.name).part === 'tiled' ? bitFunction(shader, e.name) : edgeFunction(name)))}(${list})`;
    case 'weight':
      findEdge(shader, e.name);
      return `${shader.helper(`weight_${name}`, () => weightFunction(shader, e.name))}(${list})`;
    case 'table_min':
    case 'table_max':
    case 'edges_any':
    case 'edges_all':
      throw new Error(`${e.op} exists on the host only`);
  }
}

/** A number that the runtime knows about an input. */
export function inputPart(shader: Shader, input: string, part: string): string {
  const name = `${identifier(input)}_${identifier(part)}`;
  return shader.uniform(name, 'u32', { kind: 'table', name: input, part });
}

/** Is there such an element of a table, and which word of `tables` holds it? */
export function tablePlace(
  shader: Shader,
  name: string,
  indices: readonly string[],
): { readonly inside: string; readonly word: string } {
  const size = indices.map((_, n) => inputPart(shader, name, `size.${n}`));
  // A negative index is a very large unsigned one.
  const inside = size.map((s, n) => `u32(${indices[n]}) < ${s}`).join(' && ');
  const at = size.reduce(
    (index, s, n) =>
      n === 0 ? `u32(${indices[0]})` : `${n === 1 ? index : `(${index})`} * ${s} + u32(${indices[n]})`,
    '0u',
  );
  return { inside, word: `${inputPart(shader, name, 'offset')} + ${at}` };
}

function tableFunction(shader: Shader, name: string, type: 'int' | 'float' | 'bool', axes: number): string {
  const tables = shader.bind('tables');
  const place = tablePlace(
    shader,
    name,
    lines(axes, (n) => `x${n}`),
  );
  const word = `${tables}[${place.word}]`;
  const value = { int: `bitcast<i32>(${word})`, float: `bitcast<f32>(${word})`, bool: `${word} != 0u` }[type];
  const none = { int: '0', float: '0.0', bool: 'false' }[type];
  const guard = wgsl`
    if (!(${place.inside})) {
      return ${none};
    }`;
  return wgsl`
    // The input ${name}${axes > 0 ? `; ${none} outside` : ''}.
    fn table_${identifier(name)}(${lines(axes, (n) => `x${n}: i32`).join(', ')}) -> ${WGSL_TYPES[type]} {
      ${axes > 0 ? guard : ''}
      return ${value};
    }`;
}

/** Word of `tables` at which the row pointers of a graph's row stand. */
export function rowPointer(shader: Shader, input: string, batch: string, head: string, row: string): string {
  const part = (p: string): string => inputPart(shader, input, p);
  return `${part('row_ptr')} + (u32(${batch}) * ${part('heads')} + u32(${head})) * (${part('rows')} + 1u) + u32(${row})`;
}

function findEdge(shader: Shader, input: string): void {
  const name = identifier(input);
  shader.helper(`find_${name}`, () => {
    const tables = shader.bind('tables');
    const columns = inputPart(shader, input, 'col_idx');
    return wgsl`
      const NO_EDGE_${name} = 0xffffffffu;
      // Number of the edge from a to b in the graph ${input}, by binary search in a's sorted row.
      fn find_${name}(batch: i32, head: i32, a: i32, b: i32) -> u32 {
        if (u32(a) >= ${inputPart(shader, input, 'rows')}) {
          return NO_EDGE_${name};
        }
        let row = ${rowPointer(shader, input, 'batch', 'head', 'a')};
        let end = ${tables}[row + 1u];
        var low = ${tables}[row];
        var high = end;
        while (low < high) {
          let middle = low + ((high - low) >> 1u);
          if (bitcast<i32>(${tables}[${columns} + middle]) < b) {
            low = middle + 1u;
          } else {
            high = middle;
          }
        }
        if (low < end && bitcast<i32>(${tables}[${columns} + low]) == b) {
          return low;
        }
        return NO_EDGE_${name};
      }`;
  });
}

function edgeFunction(name: string): string {
  return wgsl`
    fn edge_${name}(batch: i32, head: i32, a: i32, b: i32) -> bool {
      return find_${name}(batch, head, a, b) != NO_EDGE_${name};
    }`;
}

/** Of edges in dense boxes: the box is found like an edge, and what is read there is the same for all its pairs. */
function bitFunction(shader: Shader, input: string): string {
  const name = identifier(input);
  const shift = Math.log2(TILE);
  return wgsl`
    // By the bits of the box that the pair is in.
    fn edge_${name}(batch: i32, head: i32, a: i32, b: i32) -> bool {
      let box = find_${name}(batch, head, a >> ${shift}u, b >> ${shift}u);
      if (box == NO_EDGE_${name}) {
        return false;
      }
      let row = ${inputPart(shader, input, 'bits')} + 2u * (${TILE}u * box + (u32(a) & ${TILE - 1}u));
      let bits = ${shader.bind('tables')}[row + ((u32(b) >> 5u) & 1u)];
      return ((bits >> (u32(b) & 31u)) & 1u) != 0u;
    }`;
}

function weightFunction(shader: Shader, input: string): string {
  const name = identifier(input);
  return wgsl`
    // 0 where there is no edge.
    fn weight_${name}(batch: i32, head: i32, a: i32, b: i32) -> f32 {
      let edge = find_${name}(batch, head, a, b);
      if (edge == NO_EDGE_${name}) {
        return 0.0;
      }
      return bitcast<f32>(${shader.bind('tables')}[${inputPart(shader, input, 'weight')} + edge]);
    }`;
}
