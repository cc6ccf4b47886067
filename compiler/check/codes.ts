import type { Code } from '../../grammar/codes.js';

/** Codes of checking. */
export type CheckCode = Extract<Code, `ATTN2${string}`>;
