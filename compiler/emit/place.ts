import type { Shader } from './shader.js';
import { keyWindow, type Target } from './target.js';
import { wgsl } from './wgsl.js';

/** Where a workgroup stands: struct `Place`, found from its number by `find_place`. */

export type PlacedTensor = 'q' | 'k' | 'v' | 'out' | 'lse';

export interface PlaceOptions {
  /**
   * `tiles`: workgroups are the query tiles of a pass, tile fastest, then residue class, head, batch and, if `split`,
   * the part of the keys. `rows`: they are blocks of `rows` query rows, block fastest, then head and batch.
   */
  readonly by: 'tiles' | 'rows';
  readonly rows: number;
  readonly split: boolean;
  /**
   * Heads of one key head share workgroups (Kernel.pack): those of `tiles` are numbered by block of heads instead of by
   * head, and `head` is the block's first.
   */
  readonly packed?: boolean;
  /** Segments of which the box that the keys lie in is found: `key_box_S`. */
  readonly boxes?: readonly number[];
  /** Tensors whose head is located. */
  readonly tensors: readonly PlacedTensor[];
}

/** The struct and the function, and how `main` starts. */
export function emitPlace(shader: Shader, target: Target, options: PlaceOptions): readonly string[] {
  const { tensors, split, packed = false, boxes = [] } = options;
  const shape = (
    name: 'batch' | 'heads' | 'key_heads' | 'rows' | 'splits' | 'first_batch' | 'first_head',
  ): string => shader.uniform(name, 'u32', { kind: 'shape', name });
  const byTiles = options.by === 'tiles';
  const tiles = byTiles
    ? shader.uniform('tiles', 'u32', { kind: 'plan', part: 'tiles' })
    : `((${shape('rows')} + ${options.rows - 1}u) / ${options.rows}u)`;
  const classes = byTiles ? shader.uniform('classes', 'u32', { kind: 'plan', part: 'classes' }) : '1u';
  const pack = (part: 'heads' | 'blocks'): string =>
    shader.uniform(`pack_${part}`, 'u32', { kind: 'pack', part });
  // What a line of tiles belongs to: a head, or a block of heads that share a key head.
  const heads = packed ? `(${shape('key_heads')} * ${pack('blocks')})` : shape('heads');
  const lengths = shader.uniform('lengths', 'u32', { kind: 'plan', part: 'lengths' });
  const plan = shader.bind('plan');
  const usesKeyHead = tensors.some((t) => t === 'k' || t === 'v');

  const struct = wgsl`
    // Where a workgroup stands.
    struct Place {
      // Numbers of the run, whatever part of it is computed.
      batch: i32,
      head: i32,
      // This batch's own lengths, and the position of its first query.
      queries: i32,
      keys: i32,
      base: i32,
      // The query rows to compute: how many, and the position of the first.
      rows: i32,
      first: i32,
      // Residue class of the query space, and the tile in it.
      residue: i32,
      tile: u32,
      // Which part of the keys, of how many.
      split: u32,
      splits: u32,
      // Where this head starts in each tensor.
      ${tensors.map((t) => `${t}_start: u32,`)}
      ${boxes.map((s) => `key_box_${s}: KeyBox,`)}
    }`;
  // Divisions take some twenty instructions each, one after the other, before a workgroup can begin.
  shader.helper(
    'divide',
    () => wgsl`
      // Quotient and rest, without a division where there is nothing to divide.
      fn divide(x: u32, by: u32) -> vec2<u32> {
        if (by == 1u) {
          return vec2<u32>(x, 0u);
        }
        let quotient = x / by;
        return vec2<u32>(quotient, x - quotient * by);
      }`,
  );
  const packedHead = (): string => wgsl`
    let block = divide(line, ${heads});
    let by_block = divide(block.y, ${pack('blocks')});
    let key_head = by_block.x;
    let head = key_head * (${shape('heads')} / ${shape('key_heads')}) + by_block.y * ${pack('heads')};`;
  // A line is a head where there is one sequence and its keys are not divided.
  const plainHead = (): string => wgsl`
    ${
      split
        ? `let block = divide(line, ${heads});`
        : wgsl`
          var block = vec2<u32>(0u, line);
          if (${shape('batch')} > 1u) {
            block = divide(line, ${heads});
          }`
    }
    let head = block.y;`;
  const find = wgsl`
    fn find_place(number: u32) -> Place {
      var at: Place;
      let tiles = ${tiles};
      let by_tile = divide(number, tiles);
      ${
        byTiles
          ? wgsl`
            // The last tiles first: under a causal rule they have most to do.
            at.tile = tiles - 1u - by_tile.y;
            let by_class = divide(by_tile.x, ${classes});
            at.residue = i32(by_class.y);
            let line = by_class.x;`
          : wgsl`
            at.tile = by_tile.y;
            let line = by_tile.x;`
      }
      ${packed ? packedHead() : plainHead()}
      ${
        split
          ? wgsl`
            let by_split = divide(block.x, ${shape('batch')});
            let batch = by_split.y;
            at.split = by_split.x;`
          : wgsl`
            let batch = block.x;
            at.split = 0u;`
      }
      at.splits = ${split ? shape('splits') : '1u'};
      at.head = i32(${shape('first_head')} + head);
      at.batch = i32(${shape('first_batch')} + batch);
      at.queries = i32(${plan}[${lengths} + 4u * batch]);
      at.keys = i32(${plan}[${lengths} + 4u * batch + 1u]);
      at.rows = i32(${plan}[${lengths} + 4u * batch + 2u]);
      at.first = i32(${plan}[${lengths} + 4u * batch + 3u]);
      at.base = ${target.align === 'end' ? 'at.keys - at.queries' : '0'};
      ${
        usesKeyHead && !packed
          ? wgsl`
            var key_head = head;
            if (${heads} != ${shape('key_heads')}) {
              key_head = head / (${heads} / ${shape('key_heads')});
            }`
          : ''
      }
      ${tensors.map((t) => `at.${t}_start = ${headStart(shader, t)};`)}
      ${boxes.length > 0 ? 'let box = query_box(at);' : ''}
      ${boxes.map((s) => `at.key_box_${s} = key_box_${s}(at, box);`)}
      return at;
    }`;
  const total = wgsl`
    // Number of workgroups that have something to do.
    fn place_count() -> u32 {
      return ${tiles} * ${classes} * ${heads} * ${shape('batch')}${split ? ` * ${shape('splits')}` : ''};
    }`;
  return [struct, total, find];
}

/** Parameters of `main` and its first lines: the workgroup's number, and an end for those past the last. */
export function mainStart(
  threads: number,
  subgroups = false,
): { readonly head: string; readonly start: string } {
  return {
    head: wgsl`
      @compute @workgroup_size(${threads})
      fn main(
        @builtin(workgroup_id) group: vec3<u32>,
        @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32,
        ${
          subgroups
            ? '@builtin(subgroup_invocation_id) subgroup_lane: u32,\n@builtin(subgroup_size) subgroup_size: u32,'
            : ''
        }
      ) {`,
    start: wgsl`
      let number = group.x + group.y * groups.x;
      if (number >= place_count()) {
        return;
      }
      let at = find_place(number);`,
  };
}

export const strideField = (
  shader: Shader,
  tensor: PlacedTensor,
  axis: 'batch' | 'head' | 'row' | 'offset',
): string => shader.uniform(`${tensor}_${axis}`, 'u32', { kind: 'stride', tensor, axis });

function headStart(shader: Shader, tensor: PlacedTensor): string {
  const s = (axis: 'batch' | 'head' | 'offset'): string => strideField(shader, tensor, axis);
  const head = tensor === 'k' || tensor === 'v' ? 'key_head' : 'head';
  return `${s('offset')} + batch * ${s('batch')} + ${head} * ${s('head')}`;
}

/** The key, or where it is not at hand one that is: masks leave it out, but it is read. */
function keyAtHand(shader: Shader, row: string): string {
  const [lo, hi] = [keyWindow(shader, 'lo'), keyWindow(shader, 'hi')];
  return `clamp(${row}, u32(${lo}), u32(${hi}) - 1u)`;
}

/** Index of a row's first element: `at.q_start + row * shape.q_row`. */
export function rowStart(shader: Shader, tensor: PlacedTensor, row: string): string {
  const key = tensor === 'k' || tensor === 'v';
  const there = key && shader.windows ? keyAtHand(shader, row) : row;
  return `at.${tensor}_start + ${there} * ${strideField(shader, tensor, 'row')}`;
}
