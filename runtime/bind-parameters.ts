import type { ParameterDeclaration } from '../compiler/ir/edges.js';
import { parameterOutOfRange, usageError } from './errors.js';

/** Values of the dynamic parameters: as given, or their defaults; checked for type and range. */
export function bindParameters(
  declared: readonly ParameterDeclaration[],
  given: Readonly<Record<string, number | boolean>> = {},
): ReadonlyMap<string, number> {
  for (const name of Object.keys(given)) {
    if (!declared.some((p) => p.name === name)) {
      const known = declared.map((p) => p.name).join(', ');
      throw usageError(
        `the pattern has no parameter '${name}'`,
        known === '' ? 'it has none' : `its parameters are ${known}`,
      );
    }
  }
  const values = new Map<string, number>();
  for (const p of declared) {
    const value = given[p.name] ?? p.value;
    if (p.fixed) {
      if (value !== p.value && Number(value) !== p.value) {
        const help = `it shapes the program: compile with --set ${p.name}=${String(value)}`;
        throw parameterOutOfRange(p.name, value, `${String(p.value)}, as compiled`, help);
      }
    } else if (typeof value === 'number' || typeof value === 'boolean') {
      values.set(p.name, checked(p, value));
    }
  }
  return values;
}

function checked(p: ParameterDeclaration, value: number | boolean): number {
  const wanted = {
    int: 'a whole number of 32 bits',
    float: 'a finite number',
    bool: 'true or false',
  } as const;
  const x = Number(value);
  switch (p.type) {
    case 'int':
    case 'int[]':
      if (typeof value !== 'number' || x !== (x | 0)) throw parameterOutOfRange(p.name, value, wanted.int);
      break;
    case 'float':
    case 'float[]':
      if (typeof value !== 'number' || !Number.isFinite(Math.fround(x))) {
        throw parameterOutOfRange(p.name, value, wanted.float);
      }
      break;
    case 'bool':
      if (x !== 0 && x !== 1) throw parameterOutOfRange(p.name, value, wanted.bool);
      break;
  }
  if (p.range && !(x >= p.range.lo && x <= p.range.hi)) {
    throw parameterOutOfRange(p.name, value, `in ${p.range.lo} .. ${p.range.hi}`);
  }
  return p.type === 'float' ? Math.fround(x) : x;
}
