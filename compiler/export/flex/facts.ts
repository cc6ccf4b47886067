import { argsOf, walk, type Expr } from '../../ir/expr.js';

/**
 * When the value of an expression is known in a Python module.
 * number: once, as `build` runs; sequence: then too, but one for each sequence of the batch, whose lengths may differ;
 * tensor: pair by pair, inside `mask_mod` and `score_mod`.
 */
export type Kind = 'number' | 'sequence' | 'tensor';

/** What an expression depends on. */
export interface Facts {
  readonly kind: Kind;
  readonly batch: boolean;
  readonly head: boolean;
  /** The query's position. */
  readonly query: boolean;
  readonly key: boolean;
  /** The lengths of the sequence (`keys`, `queries`, `base`), also through the query's position. */
  readonly lengths: boolean;
}

const NOTHING: Facts = {
  kind: 'number',
  batch: false,
  head: false,
  query: false,
  key: false,
  lengths: false,
};
const TENSOR: Facts = { ...NOTHING, kind: 'tensor' };

export type FactsOf = (e: Expr) => Facts;

/** Facts of expressions, each looked at once. */
export function createFacts(): FactsOf {
  const known = new Map<Expr, Facts>();
  return (root) => {
    const done = known.get(root);
    if (done) return done;
    walk([root], (e) => {
      if (!known.has(e)) known.set(e, own(e, known));
    });
    return known.get(root) as Facts;
  };
}

function own(e: Expr, known: ReadonlyMap<Expr, Facts>): Facts {
  if (e.op === 'var') return ofVariable(e.name);
  const parts = argsOf(e).map((a) => known.get(a) as Facts);
  // What is looked up stands in tensors; samples are drawn beforehand, into one.
  const looked = ('name' in e && 'args' in e) || e.op === 'sample' || e.op === 'sample_at';
  return parts.reduce(union, looked ? TENSOR : NOTHING);
}

export function union(a: Facts, b: Facts): Facts {
  return {
    kind: later(a.kind, b.kind),
    batch: a.batch || b.batch,
    head: a.head || b.head,
    query: a.query || b.query,
    key: a.key || b.key,
    lengths: a.lengths || b.lengths,
  };
}

function later(a: Kind, b: Kind): Kind {
  if (a === 'tensor' || b === 'tensor') return 'tensor';
  return a === 'sequence' ? a : b;
}

function ofVariable(name: string): Facts {
  switch (name) {
    case 'batch':
      return { ...TENSOR, batch: true };
    case 'head':
      return { ...TENSOR, head: true };
    case 'keys':
    case 'queries':
    case 'base':
      return { ...NOTHING, kind: 'sequence', lengths: true };
    case 'heads':
    case 'dim':
    case 'scale':
      return NOTHING;
    case 'dot':
    case 'score':
      return { ...TENSOR, query: true, key: true };
  }
  if (/^i(\.\d+)?$/.test(name)) return { ...TENSOR, query: true, lengths: true };
  if (/^j(\.\d+)?$/.test(name)) return { ...TENSOR, key: true };
  if (/^size\.\d+$/.test(name)) return NOTHING;
  throw new Error(`the variable ${name} has no value in a pattern`);
}
