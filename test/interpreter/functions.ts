import type { Code, Pair, ValueType } from './scope.js';

/** Rounding of one float step: to float32 in conditions, none in scores. */
export type Rounding = (x: number) => number;

const anyFloat = (args: readonly Code[]): ValueType =>
  args.some((a) => a.type === 'float') ? 'float' : 'int';

/** An integer, made a float where one is wanted. */
export function asFloat(code: Code, round: Rounding): Code {
  if (code.type === 'float') return code;
  return { type: 'float', run: (p) => round(code.run(p)) };
}

/** Operands of one operator: all floats if one is. */
export function alike(args: readonly Code[], round: Rounding): readonly Code[] {
  return anyFloat(args) === 'float' ? args.map((a) => asFloat(a, round)) : args;
}

export function floorDivide(a: number, b: number): number {
  if (b < 1) throw new RangeError(`a divisor is ${b}`);
  return Math.floor(a / b);
}

export function floorRemainder(a: number, b: number): number {
  if (b < 1) throw new RangeError(`a modulus is ${b}`);
  const rest = a % b;
  return rest < 0 ? rest + b : rest + 0;
}

function bitsSet(x: number): number {
  let count = 0;
  for (let bit = 0; bit < 32; bit++) count += (x >>> bit) & 1;
  return count;
}

type Evaluate = (x: number, y: number, z: number) => number;

/** Functions whose type is that of their arguments, ints becoming floats beside a float. */
const likeArguments: Readonly<Record<string, Evaluate>> = {
  abs: (x) => (x < 0 ? -x : x),
  min: (x, y) => (y < x ? y : x),
  max: (x, y) => (y > x ? y : x),
  clamp: (x, lo, hi) => (x < lo ? lo : x > hi ? hi : x),
};

const onIntegers: Readonly<Record<string, Evaluate>> = {
  bitand: (x, y) => x & y,
  bitor: (x, y) => x | y,
  bitxor: (x, y) => x ^ y,
  shl: (x, y) => (y >= 0 && y < 32 ? (x * 2 ** y) | 0 : 0),
  shr: (x, y) => Math.floor(x / 2 ** Math.min(Math.max(y, 0), 31)),
  popcount: bitsSet,
};

/** Each step rounds: `r` is the rounding. */
const onFloats: Readonly<Record<string, (r: Rounding) => Evaluate>> = {
  exp: (r) => (x) => r(Math.exp(x)),
  log: (r) => (x) => r(Math.log(x)),
  sqrt: (r) => (x) => r(Math.sqrt(x)),
  tanh: (r) => (x) => r(Math.tanh(x)),
  sigmoid: (r) => (x) => r(1 / r(1 + r(Math.exp(-x)))),
  softcap: (r) => (x, c) => r(c * r(Math.tanh(r(x / c)))),
};

const toIntegers: Readonly<Record<string, Evaluate>> = { floor: Math.floor, ceil: Math.ceil };

function apply(type: ValueType, args: readonly Code[], evaluate: Evaluate): Code {
  const [x, y, z] = args.map((a) => a.run);
  const none = (): number => 0;
  const [fx, fy, fz]: readonly ((p: Pair) => number)[] = [x, y ?? none, z ?? none];
  switch (args.length) {
    case 1:
      return { type, run: (p) => evaluate(fx(p), 0, 0) };
    case 2:
      return { type, run: (p) => evaluate(fx(p), fy(p), 0) };
    default:
      return { type, run: (p) => evaluate(fx(p), fy(p), fz(p)) };
  }
}

/** `name(args)` for the named functions, or undefined if there is none of that name. */
export function callFunction(name: string, args: readonly Code[], round: Rounding): Code | undefined {
  if (name === 'if') {
    const [condition, then, otherwise] = [args[0], ...alike(args.slice(1), round)];
    const type = then.type === otherwise.type ? then.type : 'float';
    return { type, run: (p) => (condition.run(p) !== 0 ? then.run(p) : otherwise.run(p)) };
  }
  if (Object.hasOwn(likeArguments, name)) {
    // `min` and `max` of several are those of the first two, and so on.
    const [first, second, ...rest] = alike(args, round);
    if ((name === 'min' || name === 'max') && rest.length > 0) {
      return callFunction(
        name,
        [apply(anyFloat(args), [first, second], likeArguments[name]), ...rest],
        round,
      );
    }
    return apply(anyFloat(args), alike(args, round), likeArguments[name]);
  }
  if (Object.hasOwn(onIntegers, name)) return apply('int', args, onIntegers[name]);
  const floats = args.map((a) => asFloat(a, round));
  if (Object.hasOwn(onFloats, name)) return apply('float', floats, onFloats[name](round));
  if (Object.hasOwn(toIntegers, name)) return apply('int', floats, toIntegers[name]);
  return undefined;
}
