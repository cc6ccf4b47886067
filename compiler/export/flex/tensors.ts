import type { Expr, Operation } from '../../ir/expr.js';
import type { Kind } from './facts.js';
import { BITS } from './numbers.js';
import type { Scope } from './scope.js';
import { call, chain, compare, infix, Level, primary, within, type Text } from './text.js';

/**
 * Operations on tensors, as torch has them: `//` and `%` are floored, comparisons and `&`, `|`, `~` stand for the
 * logical operators, `torch.where` for `if`. An argument may also be a number, or a number for each sequence; at least
 * one is a tensor.
 */
export function printTensorOperation(e: Operation, x: readonly Text[], scope: Scope): Text {
  const kinds = e.args.map((a) => scope.facts(a).kind);
  switch (e.op) {
    case 'add':
      return infix(x[0], '+', x[1], Level.Sum);
    case 'sub':
      return infix(x[0], '-', x[1], Level.Sum);
    case 'mul':
      return infix(x[0], '*', x[1], Level.Product);
    case 'div':
      return infix(x[0], '//', x[1], Level.Product);
    case 'mod':
      return infix(x[0], '%', x[1], Level.Product);
    case 'fdiv':
      return infix(x[0], '/', x[1], Level.Product);
    case 'neg':
      return { text: `-${within(x[0], Level.Unary)}`, level: Level.Unary };
    case 'abs':
      return call('torch.abs', x);
    case 'min':
    case 'max':
      return extreme(e.op, x, kinds, scope);
    case 'bitand':
      return infix(x[0], '&', x[1], Level.BitAnd);
    case 'bitor':
      return infix(x[0], '|', x[1], Level.BitOr);
    case 'bitxor':
      return infix(x[0], '^', x[1], Level.BitXor);
    case 'shl':
    case 'shr':
    case 'popcount':
    case 'ones':
      return call(scope.helper(BITS[e.op]), x);
    case 'floor':
    case 'ceil':
      return primary(`torch.${e.op}(${x[0].text}).to(${scope.int})`);
    case 'to_float':
      return primary(`${within(x[0], Level.Primary)}.to(torch.float32)`);
    case 'exp':
    case 'log':
    case 'sqrt':
    case 'tanh':
      return call(`torch.${e.op}`, x);
    case 'pow':
      return call('torch.pow', x);
    case 'and':
      return chain(x[0], '&', x[1]);
    case 'or':
      return chain(x[0], '|', x[1]);
    case 'not':
      return negation(e.args[0], x[0]);
    case 'lt':
      return compare(x[0], '<', x[1]);
    case 'le':
      return compare(x[0], '<=', x[1]);
    case 'eq':
      return compare(x[0], '==', x[1]);
    case 'if':
      if (kinds[0] === 'number') return primary(`(${x[1].text} if ${x[0].text} else ${x[2].text})`);
      return call(kinds[0] === 'tensor' ? 'torch.where' : scope.helper('choose'), x);
    case 'sample':
    case 'sample_at':
      throw new Error(`${e.op} is drawn beforehand`);
  }
}

/** `torch.clamp` takes numbers, `torch.minimum` tensors; `least` whichever a sequence's number is. */
function extreme(op: 'min' | 'max', x: readonly Text[], kinds: readonly Kind[], scope: Scope): Text {
  if (kinds.every((k) => k === 'tensor')) return call(op === 'min' ? 'torch.minimum' : 'torch.maximum', x);
  if (kinds.includes('sequence')) return call(scope.helper(op === 'min' ? 'least' : 'greatest'), x);
  const [tensor, number] = kinds[0] === 'tensor' ? x : [x[1], x[0]];
  // min(max(x, lo), hi) is one call.
  const lower = /^torch\.clamp\((.*), min=([^(),]*)\)$/.exec(tensor.text);
  if (op === 'min' && tensor.level === Level.Primary && lower) {
    return call('torch.clamp', [lower[1], `min=${lower[2]}`, `max=${number.text}`]);
  }
  return primary(`torch.clamp(${tensor.text}, ${op === 'min' ? 'max' : 'min'}=${number.text})`);
}

/** `a != b` for `not (a == b)`: the one comparison whose opposite holds for NaN too. */
function negation(of: Expr, x: Text): Text {
  const equal = of.op === 'eq' && x.level === Level.Compare ? x.text.split(' == ') : [];
  if (equal.length === 2) return { text: equal.join(' != '), level: Level.Compare };
  return { text: `~${within(x, Level.Unary)}`, level: Level.Unary };
}
