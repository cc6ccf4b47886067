import type { Expr } from '../../ir/expr.js';
import { primary, type Text } from './text.js';

/** Prints expressions whose parts are shared: what is large and used more than once has a name of its own. */

export interface DagPrinter {
  /** The text of a node that is not taken apart. */
  readonly leaf: (e: Expr) => Text | undefined;
  /** The text of a node from those of its arguments. */
  readonly operation: (e: Expr, args: readonly Text[]) => Text;
  /** The arguments that the text of an operation needs. */
  readonly argsOf: (e: Expr) => readonly Expr[];
  /** A new local name. */
  readonly name: () => string;
}

export interface PrintedDag {
  /** Local names in order, before the values. */
  readonly lets: readonly { readonly name: string; readonly text: Text }[];
  /** One for each root. */
  readonly values: readonly Text[];
}

/** Operations below which a shared part is repeated rather than named. */
const LEAST_SHARED = 4;

/** Operations inside each other past which a part is named: Python's parser takes 200 pairs of parentheses. */
const DEEPEST = 24;

export function printDag(roots: readonly Expr[], printer: DagPrinter): PrintedDag {
  const order: Expr[] = [];
  const texts = new Map<Expr, Text>();
  const uses = new Map<Expr, number>();
  const visit = (e: Expr): void => {
    if (texts.has(e)) return;
    const leaf = printer.leaf(e);
    // Marks the node as seen; operations are printed below.
    texts.set(e, leaf ?? primary(''));
    if (leaf) return;
    for (const a of printer.argsOf(e)) {
      uses.set(a, (uses.get(a) ?? 0) + 1);
      visit(a);
    }
    order.push(e);
  };
  roots.forEach(visit);

  const lets: { name: string; text: Text }[] = [];
  const size = new Map<Expr, number>();
  const depth = new Map<Expr, number>();
  for (const e of order) {
    const args = printer.argsOf(e);
    const text = printer.operation(
      e,
      args.map((a) => texts.get(a) as Text),
    );
    const operations = args.reduce((sum, a) => sum + (size.get(a) ?? 0), 1);
    const nested = args.reduce((most, a) => Math.max(most, depth.get(a) ?? 0), 0) + 1;
    const shared = (uses.get(e) ?? 0) > 1 && operations >= LEAST_SHARED;
    if ((!roots.includes(e) && nested >= DEEPEST) || shared) {
      const name = printer.name();
      lets.push({ name, text });
      texts.set(e, primary(name));
      continue;
    }
    texts.set(e, text);
    size.set(e, operations);
    depth.set(e, nested);
  }
  return { lets, values: roots.map((r) => texts.get(r) as Text) };
}
