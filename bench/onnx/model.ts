import { bytes, integer, text, type Bytes } from './protobuf.js';

/** Attention as ONNX Runtime's own operator has it; fields and numbers as in onnx.proto. */

const TYPES = { f32: 1, f16: 10 } as const;
const INTEGER_ATTRIBUTE = 2;

export interface AttentionModel {
  readonly heads: number;
  /** Tokens, and numbers of a head. */
  readonly length: number;
  readonly dim: number;
  readonly dtype: keyof typeof TYPES;
  /** Attentions one after the other, each with the result of the last as its queries. */
  readonly layers: number;
}

/** q, k, v and out are [1, length, heads · dim]: heads beside each other in a token's row. */
export function attentionModel(model: AttentionModel): Uint8Array {
  const { heads, length, dim, dtype, layers } = model;
  const shape = [1, length, heads * dim];
  const results = Array.from({ length: layers }, (_, n) => (n === layers - 1 ? 'out' : `out${n}`));
  const nodes = results.map((out, n): Bytes => attention(n === 0 ? 'q' : results[n - 1], out, heads));
  const graph = [
    ...nodes.flatMap((n) => bytes(1, n)),
    ...text(2, 'attention'),
    ...['q', 'k', 'v'].flatMap((name) => bytes(11, value(name, TYPES[dtype], shape))),
    ...bytes(12, value('out', TYPES[dtype], shape)),
  ];
  const operators = (domain: string, version: number): Bytes =>
    bytes(8, [...text(1, domain), ...integer(2, version)]);
  const irVersion = integer(1, 8);
  return Uint8Array.from([
    ...irVersion,
    ...bytes(7, graph),
    ...operators('', 17),
    ...operators('com.microsoft', 1),
  ]);
}

function attention(queries: string, out: string, heads: number): Bytes {
  const headsAttribute = [...text(1, 'num_heads'), ...integer(3, heads), ...integer(20, INTEGER_ATTRIBUTE)];
  return [
    ...[queries, 'k', 'v'].flatMap((name) => text(1, name)),
    ...text(2, out),
    ...text(3, out),
    ...text(4, 'MultiHeadAttention'),
    ...bytes(5, headsAttribute),
    ...text(7, 'com.microsoft'),
  ];
}

/** A named tensor type. */
function value(name: string, type: number, shape: readonly number[]): Bytes {
  const dimensions = shape.flatMap((n) => bytes(1, integer(1, n)));
  return [...text(1, name), ...bytes(2, bytes(1, [...integer(1, type), ...bytes(2, dimensions)]))];
}
