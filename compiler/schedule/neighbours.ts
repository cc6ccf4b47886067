import { add, eq, int, isConst, make, ONE, select, sub, variable, ZERO } from '../ir/build.js';
import { mentions, type Expr } from '../ir/expr.js';
import type { Neighbours } from '../ir/schedule.js';
import type { Term } from '../ir/segment.js';

/** Terms whose keys are cheaper enumerated than tiled. */

export interface Found {
  readonly neighbours: Neighbours;
  /** The atoms that the list of neighbours makes true. */
  readonly consumed: readonly Expr[];
}

const isVariable = (e: Expr, name: string): boolean => e.op === 'var' && e.name === name;

/** The columns of an explicit graph on tokens, or the positions that differ from i in at most one bit. */
export function neighboursOf(term: Term): Found | undefined {
  for (const atom of term.atoms) {
    if (atom.op === 'edge') {
      const [batch, head, row, column] = atom.args;
      const sided = [batch, head, row].some((e) => mentions(e, 'j'));
      if (!sided && isVariable(column, 'j')) {
        return { neighbours: { kind: 'graph', input: atom.name, batch, head, row }, consumed: [atom] };
      }
    }
    const flips = bitFlips(atom);
    if (flips) return { neighbours: flips, consumed: [atom] };
  }
  return undefined;
}

/** popcount(i xor j) ≤ 1, < 2 or = 1. */
function bitFlips(atom: Expr): Neighbours | undefined {
  if (atom.op !== 'le' && atom.op !== 'lt' && atom.op !== 'eq') return undefined;
  const [a, b] = atom.args;
  if (a.op !== 'popcount' || a.args[0].op !== 'bitxor' || !isConst(b)) return undefined;
  const [x, y] = a.args[0].args;
  const pair = (isVariable(x, 'i') && isVariable(y, 'j')) || (isVariable(x, 'j') && isVariable(y, 'i'));
  const most = atom.op === 'lt' ? b.value - 1 : b.value;
  if (!pair || most !== 1) return undefined;
  // Every bit of the longest position, and for ≤ no bit at all.
  const bits = make('popcount', 'int', [make('ones', 'int', [variable('keys')])]);
  const self = atom.op === 'eq' ? 0 : 1;
  const member = variable('member');
  const flipped = make('bitxor', 'int', [variable('i'), make('shl', 'int', [ONE, sub(member, int(self))])]);
  const position = self ? select(eq(member, ZERO), variable('i'), flipped) : flipped;
  return { kind: 'family', count: add(bits, int(self)), position };
}
