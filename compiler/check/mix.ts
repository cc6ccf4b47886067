import type { MixAst } from '../../grammar/ast.js';
import { nearest } from '../../grammar/nearest.js';
import type { Mix } from '../ir/edges.js';
import { mentions } from '../ir/expr.js';
import type { Env } from './context.js';
import { evaluate, readsScore } from './expressions.js';
import { asFloat } from './types.js';

const LATER = ['linear', 'sigmoid', 'toeplitz', 'matrix', 'fourier'];

/** `mix = softmax` or `mix = softmax(sink: EXPR)`. */
export function readMix(env: Env, ast: MixAst): Mix {
  const { report } = env.body;
  const softmax: Mix = { kind: 'softmax', sink: undefined };
  const name = ast.name.text;
  if (name !== 'softmax') {
    if (LATER.includes(name)) {
      const help = 'for now the mix is `softmax`';
      report.error('ATTN2061', `the mix \`${name}\` is not available yet`, ast.name.span, { help });
    } else {
      const like = nearest(name, ['softmax', ...LATER]) ?? 'softmax';
      report.error('ATTN2060', `unknown mix \`${name}\``, ast.name.span, {
        help: `did you mean \`${like}\`?`,
      });
    }
    return softmax;
  }
  let mix = softmax;
  let given = false;
  for (const arg of ast.args) {
    if (arg.name?.text !== 'sink' || given) {
      const what = !arg.name
        ? 'the arguments of a mix have names'
        : given
          ? '`sink` is given twice'
          : `\`softmax\` has no \`${arg.name.text}\``;
      report.error('ATTN2028', what, arg.name?.span ?? arg.span, { help: 'write `softmax(sink: EXPR)`' });
      continue;
    }
    given = true;
    const sink = asFloat(report, evaluate({ ...env, place: 'sink' }, arg.value), arg.value.span);
    if (!sink) continue;
    if (mentions(sink, 'j') || readsScore(sink)) {
      report.error('ATTN2024', "a sink belongs to the query, so it can't depend on a key", arg.value.span, {
        help: 'it may depend on `head`, `batch` and `i`, as in `sinks[head]`',
      });
      continue;
    }
    mix = { kind: 'softmax', sink };
  }
  return mix;
}
