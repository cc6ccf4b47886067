import { basename, extname } from 'node:path';
import { AttncError, shapeText, usageError } from '../runtime/errors.js';
import { readTensorHeaders, readTensors, type TensorHeader } from '../runtime/files/node.js';
import type { Tensor } from '../runtime/tensor.js';

/** Tensors by name, from all `--input` files. */
export interface GivenTensors {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly files: readonly string[];
}

/** Where a tensor of an `--input` file lies. */
export interface TensorPlace extends TensorHeader {
  readonly file: string;
  /** Its name in a .safetensors file. */
  readonly tensor: string | undefined;
}

/**
 * Reads `--input` files: FILE, or NAME=FILE where a file holds one tensor or graph (.npy, .mtx), which is then called
 * NAME instead of like its file.
 * @param leftOut names of tensors that are not read
 */
export async function readInputs(
  specs: readonly string[],
  leftOut: ReadonlySet<string> = new Set(),
): Promise<GivenTensors> {
  const tensors = new Map<string, Tensor>();
  let metadata: Readonly<Record<string, string>> = {};
  for (const spec of specs) {
    const { name, file } = inputOf(spec);
    if (isNpy(file) && leftOut.has(name ?? basename(file, extname(file)))) continue;
    const read = await readTensors(file, (own) => !leftOut.has(own));
    for (const [own, tensor] of read.tensors) {
      const called = name === undefined ? own : renamed(own, name);
      if (tensors.has(called)) throw inSeveral(called);
      tensors.set(called, tensor);
    }
    metadata = { ...metadata, ...read.metadata };
  }
  return { tensors, metadata, files: [...specs] };
}

/** What `--input` files hold, by name, from their headers alone; graphs of .mtx files are left out. */
export async function readPlaces(specs: readonly string[]): Promise<ReadonlyMap<string, TensorPlace>> {
  const places = new Map<string, TensorPlace>();
  for (const spec of specs) {
    const { name, file } = inputOf(spec);
    for (const [own, header] of await readTensorHeaders(file)) {
      const called = name === undefined ? own : renamed(own, name);
      if (places.has(called)) throw inSeveral(called);
      places.set(called, { ...header, file, tensor: isNpy(file) ? undefined : own });
    }
  }
  return places;
}

const isNpy = (file: string): boolean => extname(file).toLowerCase() === '.npy';

const inSeveral = (name: string): AttncError => usageError(`'${name}' is in several --input files`);

function inputOf(spec: string): { readonly name: string | undefined; readonly file: string } {
  const named = /^([A-Za-z_]\w*)=(.+)$/s.exec(spec);
  const [name, file] = named ? [named[1], named[2]] : [undefined, spec];
  if (file === '-') throw usageError('--input - : tensors are not read from standard input', 'name a file');
  if (name !== undefined && extname(file).toLowerCase() === '.safetensors') {
    throw usageError(
      `--input ${spec}: the tensors of a .safetensors file have names`,
      `write --input ${file}`,
    );
  }
  return { name, file };
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
