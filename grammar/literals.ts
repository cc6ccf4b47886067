/** Numbers as they are written. */
import type { Code } from './codes.js';

export type NumberValue =
  | { readonly kind: 'int' | 'float'; readonly value: number }
  | {
      readonly kind: 'wrong';
      readonly code: Code;
      readonly message: string;
      readonly help: string | undefined;
    };

const digits = /^\d+(?:_\d+)*$/;
const hexadecimal = /^0[xX][0-9a-fA-F]+(?:_[0-9a-fA-F]+)*$/;
const float = /^\d+(?:_\d+)*(?:\.\d+(?:_\d+)*)?(?:[eE][+-]?\d+(?:_\d+)*)?$/;

/** `1_024`, `0xff`, `1.5`, `1e-3`. */
export function readNumber(text: string): NumberValue {
  if (digits.test(text)) return integer(text, text.length > 1 ? text.replaceAll('_', '') : text);
  if (hexadecimal.test(text)) return integer(text, text.replaceAll('_', ''));
  if (float.test(text)) {
    const value = Number(text.replaceAll('_', ''));
    if (Number.isFinite(value)) return { kind: 'float', value };
    return {
      kind: 'wrong',
      code: 'ATTN1004',
      message: `\`${clip(text)}\` is too large for a float`,
      help: undefined,
    };
  }
  return {
    kind: 'wrong',
    code: 'ATTN1003',
    message: `\`${clip(text)}\` is not a number`,
    help: 'numbers look like 12, 1_000, 0xff, 1.5 or 1e-3',
  };
}

function integer(text: string, plain: string): NumberValue {
  const value = Number(plain);
  if (Number.isSafeInteger(value)) return { kind: 'int', value };
  return {
    kind: 'wrong',
    code: 'ATTN1004',
    message: `\`${clip(text)}\` is too large for an exact integer`,
    help: `the largest is ${Number.MAX_SAFE_INTEGER}`,
  };
}

/** Long texts in messages are cut. */
export function clip(text: string, length = 40): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
