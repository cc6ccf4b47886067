/** Just enough of protobuf's wire format to write a small ONNX model: varints, and fields of bytes. */

export type Bytes = readonly number[];

export function varint(n: number): Bytes {
  const out: number[] = [];
  let rest = n;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    out.push(rest > 0 ? low + 128 : low);
  } while (rest > 0);
  return out;
}

export const integer = (field: number, n: number): Bytes => [...varint(field * 8), ...varint(n)];

export const bytes = (field: number, content: Bytes): Bytes => [
  ...varint(field * 8 + 2),
  ...varint(content.length),
  ...content,
];

export const text = (field: number, content: string): Bytes =>
  bytes(field, [...new TextEncoder().encode(content)]);
