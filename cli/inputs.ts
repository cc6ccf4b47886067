import { extname } from 'node:path';
import { AttncError, shapeText, usageError } from '../runtime/errors.js';
import { readTensors } from '../runtime/files/node.js';
import type { Tensor } from '../runtime/tensor.js';

/** Tensors by name, from all `--input` files. */
export interface GivenTensors {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly files: readonly string[];
}

/**
 * Reads `--input` files: FILE, or NAME=FILE where a file holds one tensor or graph (.npy, .mtx), which is then called
 * NAME instead of like its file.
 */
export async function readInputs(specs: readonly string[]): Promise<GivenTensors> {
  const tensors = new Map<string, Tensor>();
  let metadata: Readonly<Record<string, string>> = {};
  for (const spec of specs) {
    const named = /^([A-Za-z_]\w*)=(.+)$/s.exec(spec);
    const [name, file] = named ? [named[1], named[2]] : [undefined, spec];
    if (file === '-') throw usageError('--input - : tensors are not read from standard input', 'name a file');
    if (name !== undefined && extname(file).toLowerCase() === '.safetensors') {
      throw usageError(
        `--input ${spec}: the tensors of a .safetensors file have names`,
        `write --input ${file}`,
      );
    }
    const read = await readTensors(file);
    for (const [own, tensor] of read.tensors) {
      const called = name === undefined ? own : renamed(own, name);
      if (tensors.has(called)) throw usageError(`'${called}' is in several --input files`);
      tensors.set(called, tensor);
    }
    metadata = { ...metadata, ...read.metadata };
  }
  return { tensors, metadata, files: [...specs] };
}

/** `club.row_ptr` called `bonds` is `bonds.row_ptr`. */
function renamed(own: string, name: string): string {
  const part = /\.(row_ptr|col_idx|weight)$/.exec(own);
  return part ? `${name}${part[0]}` : name;
}

/** Lengths of each sequence of a batch: the tensors `lengths.queries` and `lengths.keys`. */
export function lengthsOf(
  given: GivenTensors,
): { readonly queries?: readonly number[]; readonly keys?: readonly number[] } | undefined {
  const read = (name: string): number[] | undefined => {
    const t = given.tensors.get(name);
    if (t === undefined) return undefined;
    if (t.shape.length !== 1 || (t.dtype !== 'i32' && t.dtype !== 'i64')) {
      throw new AttncError(
        'wrong-shape',
        `'${name}' must be int [batch], not ${t.dtype} ${shapeText(t.shape)}`,
      );
    }
    return Array.from(t.data, Number);
  };
  const queries = read('lengths.queries');
  const keys = read('lengths.keys');
  if (queries === undefined && keys === undefined) return undefined;
  return { ...(queries ? { queries } : {}), ...(keys ? { keys } : {}) };
}
