import { brokenFile, quoted } from '../errors.js';

/** JSON with objects as maps: names such as `__proto__` are names like any other, and order is kept. */
export type Json = null | boolean | number | string | readonly Json[] | ReadonlyMap<string, Json>;

/**
 * Parses UTF-8 JSON as JSON.parse does, but refuses a name that occurs twice in an object, which JSON.parse
 * would let the last one win silently. `what` names the text in messages.
 */
export function parseJson(bytes: Uint8Array, file: string, what: string): Json {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw brokenFile(file, `the ${what} is not valid UTF-8`, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw brokenFile(file, `the ${what} is not valid JSON`, { cause });
  }
  const repeated = repeatedName(text);
  if (repeated !== undefined) throw brokenFile(file, `the ${what} has the name ${quoted(repeated)} twice`);
  return toJson(value, file, what, 0);
}

const maxDepth = 64;

function toJson(value: unknown, file: string, what: string, depth: number): Json {
  if (depth > maxDepth) throw brokenFile(file, `the ${what} is nested too deeply`);
  if (Array.isArray(value)) return value.map((item) => toJson(item, file, what, depth + 1));
  if (typeof value === 'object' && value !== null) {
    return new Map(Object.entries(value).map(([k, v]) => [k, toJson(v, file, what, depth + 1)]));
  }
  return value as null | boolean | number | string;
}

/** The first name that an object of this valid JSON text holds twice. */
function repeatedName(text: string): string | undefined {
  const scopes: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    const c = text[at];
    if (c === '{') scopes.push(new Set());
    if (c === '}') scopes.pop();
    if (c !== '"') continue;
    const end = stringEnd(text, at);
    let after = end;
    while (/\s/.test(text[after] ?? '')) after++;
    if (text[after] === ':') {
      const name: unknown = JSON.parse(text.slice(at, end));
      const scope = scopes.at(-1);
      if (typeof name === 'string' && scope?.has(name)) return name;
      if (typeof name === 'string') scope?.add(name);
    }
    at = end - 1;
  }
  return undefined;
}

/** Just past the closing quote of the string that opens at `open`. */
function stringEnd(text: string, open: number): number {
  let at = open + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}
