/**
 * Every diagnostic code with a short title: the index of `attnc --explain` and of docs/language.md.
 * Codes are stable; a code that falls out of use is left here, never given to something else.
 */
export const codes = {
  ATTN1001: 'character that the language does not use',
  ATTN1002: 'text or comment that never ends',
  ATTN1003: 'number that is not written correctly',
  ATTN1004: 'number too large to be exact',
  ATTN1005: 'operator of another language',
  ATTN1006: 'reserved word used as a name',
  ATTN1007: 'brackets or operators nested too deeply',
  ATTN1008: 'too many errors',
  ATTN1009: 'something else was expected here',
  ATTN1010: 'an expression is missing',
  ATTN1011: 'bracket that is never closed',
  ATTN1012: 'word that is not one of those possible here',
  ATTN1013: 'an edge is written `i -> j`',
  ATTN1014: 'operators that need parentheses',
} as const satisfies Readonly<Record<string, string>>;

export type Code = keyof typeof codes;
