/**
 * Every diagnostic code with a short title: the index of `attnc --explain` and of docs/language.md.
 * Codes are stable; a code that falls out of use is left here, never given to something else.
 */
export const codes = {
  // Lexing and parsing
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

  // Checking: names
  ATTN2001: 'unknown name',
  ATTN2002: 'unknown function',
  ATTN2003: 'unknown pattern',
  ATTN2004: 'unknown member',
  ATTN2005: 'name declared twice',
  ATTN2006: 'name that is built in',
  ATTN2007: 'two patterns of one name',
  ATTN2008: 'label used twice',
  ATTN2009: 'item that a pattern has once, given twice',
  ATTN2010: 'item that does not belong inside braces',
  ATTN2011: 'name that is never used',
  // Checking: types
  ATTN2020: 'value of another type',
  ATTN2021: 'condition that is not true or false',
  ATTN2022: 'index that is not an int',
  ATTN2023: 'list where a single value stands, or the other way round',
  ATTN2024: 'word that has no value here',
  ATTN2025: 'input without its index, or an index on something else',
  ATTN2026: 'wrong number of indices',
  ATTN2027: 'wrong number of arguments',
  ATTN2028: 'argument that is unknown or given twice',
  // Checking: values
  ATTN2030: 'value that must be known when the pattern is compiled',
  ATTN2031: 'integer that does not fit into 32 bits',
  ATTN2032: 'divisor below 1',
  ATTN2033: 'range with nothing in it',
  ATTN2034: 'index that is always outside',
  ATTN2035: 'too many repetitions, or includes inside each other',
  ATTN2036: 'lists of unlike length',
  ATTN2037: 'size below 1',
  ATTN2038: 'range that depends on j',
  ATTN2039: 'axis that is not possible here',
  // Checking: parameters and options
  ATTN2040: 'value outside the range of its parameter',
  ATTN2041: 'range that a parameter cannot have',
  ATTN2042: 'setting of an unknown parameter',
  ATTN2043: 'setting of another type',
  ATTN2044: 'pattern that the file does not have',
  // Checking: imports and includes
  ATTN2050: 'pattern that includes itself',
  ATTN2051: 'file that imports itself',
  ATTN2052: 'file that cannot be read',
  ATTN2053: 'included pattern with a score or mix of its own',
  ATTN2054: 'inputs of one name that differ',
  ATTN2055: 'included pattern with another grid or alignment',
  // Checking: mixes
  ATTN2060: 'unknown mix',
  ATTN2061: 'mix that is not available yet',
  // Checking: meaning
  ATTN2070: 'pattern without a rule',
  ATTN2071: 'rule that never holds',
  ATTN2072: 'restriction that never holds',
  ATTN2073: 'float condition on both i and j',
  ATTN2074: 'more than one size to infer',
  ATTN2075: 'expression that is too deep',

  // Exporting
  ATTN3001: 'sample that FlexAttention cannot draw',
} as const satisfies Readonly<Record<string, string>>;

export type Code = keyof typeof codes;
