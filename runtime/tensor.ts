import {
  AttncError,
  outOfMemory,
  quoted,
  shapeText,
  valueOutOfRange,
  wrongShape,
  wrongType,
} from './errors.js';
import { bf16Array, bf16ToFloat32, f16Array, f16ToFloat32 } from './half.js';

/** What holds the elements of each type; f16 and bf16 are kept as their bits, bool as 0 or 1. */
export interface TensorData {
  readonly f32: Float32Array;
  readonly f16: Uint16Array;
  readonly bf16: Uint16Array;
  readonly i32: Int32Array;
  readonly i64: BigInt64Array;
  readonly bool: Uint8Array;
}

export type DType = keyof TensorData;

export interface TensorOf<D extends DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  /** Row-major, last axis fastest; as many elements as the product of the shape. */
  readonly data: TensorData[D];
}

/** A dense array in the host's memory, narrowed by `dtype`. */
export type Tensor = { readonly [D in DType]: TensorOf<D> }[DType];

export const dtypes: readonly DType[] = ['f32', 'f16', 'bf16', 'i32', 'i64', 'bool'];

/** Bytes an element. */
export const bytesPerElement: Readonly<Record<DType, number>> = {
  f32: 4,
  f16: 2,
  bf16: 2,
  i32: 4,
  i64: 8,
  bool: 1,
};

const arrayTypes = {
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i32: Int32Array,
  i64: BigInt64Array,
  bool: Uint8Array,
} as const;

/** The number of elements of a shape, or undefined where it is no shape or too large to count. */
export function elementCount(shape: readonly number[]): number | undefined {
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) return undefined;
  if (shape.includes(0)) return 0;
  const count = shape.reduce((product, size) => product * size, 1);
  return Number.isSafeInteger(count) ? count : undefined;
}

/** A tensor over `data`, which is not copied. `name` is for messages. */
export function tensor<D extends DType>(
  dtype: D,
  shape: readonly number[],
  data: TensorData[D],
  name = 'tensor',
): TensorOf<D> {
  const wanted = arrayTypes[dtype];
  if (!(data instanceof wanted)) throw wrongType(name, [`a ${wanted.name} for ${dtype}`], typeName(data));
  const count = checkedCount(shape, name);
  if (data.length !== count) {
    throw new AttncError(
      'wrong-shape',
      `${quoted(name)} has ${data.length} elements, but its shape ${shapeText(shape)} takes ${count}`,
      { details: { name, shape, elements: data.length } },
    );
  }
  return { dtype, shape: [...shape], data };
}

/** A tensor of zeros. */
export function zeros<D extends DType>(dtype: D, shape: readonly number[], name = 'tensor'): TensorOf<D> {
  return tensor(dtype, shape, allocate(dtype, checkedCount(shape, name), name), name);
}

/**
 * A tensor of converted numbers: floats are rounded to the nearest (ties to even), integers must be whole
 * and fit, and any number but 0 is true.
 */
export function fromNumbers(
  dtype: DType,
  shape: readonly number[],
  values: ArrayLike<number>,
  name = 'tensor',
): Tensor {
  switch (dtype) {
    case 'f32':
      return tensor(dtype, shape, Float32Array.from(values), name);
    case 'f16':
      return tensor(dtype, shape, f16Array(values), name);
    case 'bf16':
      return tensor(dtype, shape, bf16Array(values), name);
    case 'i32':
      return tensor(dtype, shape, Int32Array.from(values, whole(name, -(2 ** 31), 2 ** 31 - 1)), name);
    case 'i64': {
      const check = whole(name, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
      return tensor(dtype, shape, BigInt64Array.from(Array.from(values, check), BigInt), name);
    }
    case 'bool':
      return tensor(
        dtype,
        shape,
        Uint8Array.from(values, (x) => (x === 0 ? 0 : 1)),
        name,
      );
  }
}

/** The elements as float32: exact for f32, f16, bf16 and bool, rounded for large integers. Not copied if f32. */
export function toFloat32(t: Tensor): Float32Array {
  switch (t.dtype) {
    case 'f32':
      return t.data;
    case 'f16':
      return f16ToFloat32(t.data);
    case 'bf16':
      return bf16ToFloat32(t.data);
    case 'i32':
    case 'bool':
      return Float32Array.from(t.data);
    case 'i64':
      return Float32Array.from(t.data, Number);
  }
}

/** The elements as float64, exact for every type but i64 past 2^53. Always a copy. */
export function toFloat64(t: Tensor): Float64Array {
  return t.dtype === 'i64'
    ? Float64Array.from(t.data, Number)
    : Float64Array.from(t.dtype === 'i32' ? t.data : toFloat32(t));
}

/** The elements of an integer or bool tensor as int32; one that does not fit is named. Not copied if i32. */
export function toInt32(t: Tensor, name = 'tensor'): Int32Array {
  switch (t.dtype) {
    case 'i32':
      return t.data;
    case 'bool':
      return Int32Array.from(t.data);
    case 'i64': {
      const out = new Int32Array(t.data.length);
      for (let n = 0; n < out.length; n++) {
        const value = t.data[n]!;
        out[n] = Number(value);
        if (BigInt(out[n]!) !== value) {
          const element = `${quoted(name)}${shapeText(elementIndex(t.shape, n))}`;
          throw valueOutOfRange(element, value, -(2 ** 31), 2 ** 31 - 1);
        }
      }
      return out;
    }
    case 'f32':
    case 'f16':
    case 'bf16':
      throw wrongType(name, ['i32', 'i64', 'bool'], t.dtype);
  }
}

/** The place of element `n` of a row-major array, one number an axis. */
export function elementIndex(shape: readonly number[], n: number): number[] {
  const index: number[] = [];
  let rest = n;
  for (const size of [...shape].reverse()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return index;
}

/** The elements' bytes in memory (little-endian, as on every machine that WebGPU runs on), not copied. */
export function bytesOf(t: Tensor): Uint8Array {
  return new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength);
}

/** A tensor over little-endian bytes: a view where they are aligned in memory, a copy where not. */
export function fromBytes(
  dtype: DType,
  shape: readonly number[],
  bytes: Uint8Array,
  name = 'tensor',
): Tensor {
  const size = bytesPerElement[dtype];
  // Not slice(): that of a Node Buffer is a view again.
  const start = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const args = [start.buffer, start.byteOffset, Math.floor(start.byteLength / size)] as const;
  switch (dtype) {
    case 'f32':
      return tensor(dtype, shape, new Float32Array(...args), name);
    case 'f16':
    case 'bf16':
      return tensor(dtype, shape, new Uint16Array(...args), name);
    case 'i32':
      return tensor(dtype, shape, new Int32Array(...args), name);
    case 'i64':
      return tensor(dtype, shape, new BigInt64Array(...args), name);
    case 'bool':
      return tensor(dtype, shape, new Uint8Array(...args), name);
  }
}

function allocate<D extends DType>(dtype: D, count: number, name: string): TensorData[D] {
  try {
    return new arrayTypes[dtype](count) as TensorData[D];
  } catch (cause) {
    throw outOfMemory(quoted(name), count * bytesPerElement[dtype], cause);
  }
}

function checkedCount(shape: readonly number[], name: string): number {
  const count = elementCount(shape);
  if (count === undefined) throw wrongShape(name, ['sizes of 0 or more, of a countable product'], shape);
  return count;
}

function whole(name: string, least: number, most: number): (x: number, n: number) => number {
  return (x, n) => {
    if (!Number.isInteger(x)) throw wrongType(`${name}[${n}]`, ['a whole number'], String(x));
    if (x < least || x > most) throw valueOutOfRange(`${quoted(name)}[${n}]`, x, least, most);
    return x;
  };
}

function typeName(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}
