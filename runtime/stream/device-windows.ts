/** Rows in a buffer, cut to what a device binds at a time and dispatches at once. */

/** One binding: `words[at]` is the first word of row `lo`. */
export interface DeviceWindow {
  readonly lo: number;
  readonly hi: number;
  /** Of the binding, in bytes. */
  readonly offset: number;
  readonly size: number;
  /** Words. */
  readonly at: number;
  readonly words: number;
}

type Limits = Pick<GPUSupportedLimits, 'maxStorageBufferBindingSize' | 'minStorageBufferOffsetAlignment'>;

/** Words that kernels count in 32 bits, with room for what lies before them. */
const MOST_BYTES = 2 ** 31;

/** @param offset of row `lo`, in bytes, a multiple of 4; @param rowBytes a multiple of 4 */
export function windowsOf(
  limits: Limits,
  offset: number,
  lo: number,
  hi: number,
  rowBytes: number,
): readonly DeviceWindow[] {
  if (offset % 4 !== 0 || rowBytes % 4 !== 0)
    throw new RangeError(`rows of ${rowBytes} bytes at ${offset} are not whole words`);
  const step = limits.minStorageBufferOffsetAlignment;
  const most = Math.floor((Math.min(limits.maxStorageBufferBindingSize, MOST_BYTES) - step) / rowBytes);
  if (most < 1) throw new RangeError(`a row of ${rowBytes} bytes is more than the device binds`);
  const windows: DeviceWindow[] = [];
  for (let first = lo; first < hi; first += most) {
    const end = Math.min(first + most, hi);
    const begin = offset + (first - lo) * rowBytes;
    const aligned = begin - (begin % step);
    const bytes = (end - first) * rowBytes;
    windows.push({
      lo: first,
      hi: end,
      offset: aligned,
      size: begin - aligned + bytes,
      at: (begin - aligned) / 4,
      words: bytes / 4,
    });
  }
  return windows;
}

/** Workgroups along x and y for at least `count` of them. */
export function workgroupGrid(count: number, most: number): readonly [x: number, y: number] {
  const y = Math.max(1, Math.ceil(count / most));
  return [Math.ceil(count / y), y];
}
