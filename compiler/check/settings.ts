import { nearest } from '../../grammar/nearest.js';
import { inRange, isListType, itemType, type Parameter } from './parameters.js';
import type { Report } from './report.js';
import { aType, INT32_MAX, INT32_MIN } from './values.js';

/** Values for parameters from outside the text: `--set window=128`. */
export type Settings = Readonly<Record<string, number | boolean | readonly number[]>>;

/** The parameters' values, with the settings in place of the defaults; what is wrong is reported without a place. */
export function applySettings(
  parameters: readonly Parameter[],
  set: Settings,
  pattern: string,
  report: Report,
): ReadonlyMap<string, number | readonly number[]> {
  const values = new Map<string, number | readonly number[]>();
  for (const p of parameters) if (p.value !== undefined) values.set(p.ast.name.text, p.value);
  const names = parameters.map((p) => p.ast.name.text);
  for (const [name, value] of Object.entries(set)) {
    const parameter = parameters.find((p) => p.ast.name.text === name);
    if (!parameter) {
      const like = nearest(name, names);
      const help = like
        ? `did you mean \`${like}\`?`
        : names.length > 0
          ? `its parameters are ${names.join(', ')}`
          : 'it has none';
      report.error('ATTN2042', `pattern \`${pattern}\` has no parameter \`${name}\``, undefined, { help });
      continue;
    }
    const checked = checkSetting(parameter, name, value, report);
    if (checked !== undefined) values.set(name, checked);
  }
  return values;
}

function checkSetting(
  p: Parameter,
  name: string,
  value: Settings[string],
  report: Report,
): number | readonly number[] | undefined {
  const { type } = p.ast;
  const item = itemType(type);
  const items = Array.isArray(value) ? (value as readonly number[]) : [value as number | boolean];
  const wrong = (): undefined => {
    report.error(
      'ATTN2043',
      `parameter \`${name}\` is ${aType(type)}, and ${show(value)} is not`,
      undefined,
      {
        help: isListType(type) ? `a list is written \`${name}=[1,2,3]\`` : undefined,
      },
    );
    return undefined;
  };
  if (Array.isArray(value) !== isListType(type)) return wrong();
  for (const x of items) {
    if (item === 'bool' ? typeof x !== 'boolean' : typeof x !== 'number' || !Number.isFinite(x))
      return wrong();
    const number = Number(x);
    if (item === 'int' && !Number.isInteger(number)) return wrong();
    if (item === 'int' && (number < INT32_MIN || number > INT32_MAX)) {
      report.error('ATTN2031', `the value ${number} of \`${name}\` does not fit into 32 bits`, undefined);
      return undefined;
    }
    if (p.range && !inRange(number, p.range)) {
      report.error('ATTN2040', `the value ${number} of \`${name}\` lies outside of its range`, undefined, {
        help: `the range is ${p.range.lo} .. ${p.range.hi}`,
      });
      return undefined;
    }
  }
  const numbers = items.map((x) => Number(x) + 0);
  return isListType(type) ? numbers : numbers[0];
}

const show = (value: Settings[string]): string =>
  Array.isArray(value) ? `[${value.join(', ')}]` : String(value);
