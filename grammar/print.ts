/** Tree → text: the formatter. What it prints parses to the same tree. */
import type { Comment, FileAst, ForAst, ItemAst, Name, ParameterAst, PatternAst } from './ast.js';
import { printArguments, printExpression, printRange } from './print-expression.js';

/** A header longer than this puts each parameter on a line of its own. */
const maxColumns = 100;

/** The lines so far, and the comments not yet among them. */
interface Page {
  readonly lines: string[];
  readonly comments: readonly Comment[];
  /** Index of the next comment. */
  next: number;
  /** Whether the last line ends in a `//` comment, so that nothing can follow on it. */
  ended: boolean;
}

/**
 * Formats a file. Comments stand where they stood: behind the item that they followed on its line, or on lines of
 * their own before the next item; those inside an expression move behind it.
 */
export function print(ast: FileAst): string {
  const page: Page = { lines: [], comments: ast.comments, next: 0, ended: false };
  for (const item of ast.imports) {
    flush(page, item.span.start, '', undefined, false);
    write(page, `import "${item.path}"`);
  }
  for (const pattern of ast.patterns) {
    // Comments behind what came before belong above the empty line.
    flushTrailing(page, pattern.span.start);
    if (page.lines.length > 0) write(page, '');
    flush(page, pattern.span.start, '', pattern.doc, true);
    printPattern(page, pattern);
  }
  flush(page, Infinity, '', undefined, false);
  return page.lines.length === 0 ? '' : `${page.lines.join('\n')}\n`;
}

function write(page: Page, line: string): void {
  page.lines.push(line);
  page.ended = false;
}

function isDoc(comment: Comment | undefined): boolean {
  return comment !== undefined && /^\/\/\/(?!\/)/.test(comment.text);
}

function writeComment(page: Page, indent: string, comment: Comment, text: string): void {
  const last = page.lines.at(-1);
  if (comment.trailing && !page.ended && last !== undefined && last !== '') {
    page.lines[page.lines.length - 1] = `${last} ${text}`;
  } else {
    page.lines.push(indent + text);
  }
  page.ended = text.startsWith('//');
}

/** Writes the comments that stood behind the last item on its line. */
function flushTrailing(page: Page, start: number): void {
  for (;;) {
    const comment = page.comments[page.next];
    if (comment === undefined || comment.span.start >= start || !comment.trailing || isDoc(comment)) return;
    writeComment(page, '', comment, comment.text);
    page.next++;
  }
}

/** Writes the comments before `start`, then the doc of the node there. */
function flush(page: Page, start: number, indent: string, doc: string | undefined, takesDoc: boolean): void {
  let end = page.next;
  while (end < page.comments.length && page.comments[end]!.span.start < start) end++;
  const docs = doc?.split('\n') ?? [];
  // The node's doc is among the comments too.
  let plain = end;
  while (plain > page.next && end - plain < docs.length && isDoc(page.comments[plain - 1])) plain--;
  // A `///` that was not the node's doc, but would become it, loses a slash.
  let near = plain;
  while (takesDoc && near > page.next && isDoc(page.comments[near - 1])) near--;
  for (let k = page.next; k < plain; k++) {
    const comment = page.comments[k]!;
    writeComment(page, indent, comment, k >= near ? comment.text.slice(1) : comment.text);
  }
  page.next = end;
  for (const line of docs) write(page, `${indent}///${line === '' ? '' : ` ${line}`}`);
}

function printPattern(page: Page, pattern: PatternAst): void {
  const { parameters } = pattern;
  const name = `pattern ${pattern.name.text}`;
  const oneLine = parameters.length === 0 ? name : `${name}(${parameters.map(printParameter).join(', ')})`;
  const last = parameters.at(-1)?.span.end ?? 0;
  const comment = page.comments[page.next];
  const commented = comment !== undefined && comment.span.start < last;
  const documented = parameters.some((parameter) => parameter.doc !== undefined);
  if (parameters.length > 0 && (commented || documented || oneLine.length + 2 > maxColumns)) {
    write(page, `${name}(`);
    for (const parameter of parameters) {
      flush(page, parameter.span.start, '  ', parameter.doc, true);
      write(page, `  ${printParameter(parameter)},`);
    }
    flush(page, last, '  ', undefined, false);
    write(page, ') {');
  } else {
    write(page, `${oneLine} {`);
  }
  printItems(page, pattern.items, '  ', pattern.span.end);
  write(page, '}');
}

function printParameter({ name, type, range, value }: ParameterAst): string {
  const within = range === undefined ? '' : ` in ${printRange(range)}`;
  return `${name.text}: ${type}${within} = ${printExpression(value)}`;
}

/** The items and the comments before `end`, where their brace closes. */
function printItems(page: Page, items: readonly ItemAst[], indent: string, end: number): void {
  for (const item of items) {
    const takesDoc = item.kind === 'rule' || item.kind === 'input';
    flush(page, item.span.start, indent, takesDoc ? item.doc : undefined, takesDoc);
    printItem(page, item, indent);
  }
  flush(page, end, indent, undefined, false);
}

function labelled(label: Name | undefined): string {
  return label === undefined ? '' : `${label.text}: `;
}

function printItem(page: Page, item: ItemAst, indent: string): void {
  const line = (text: string): void => write(page, indent + text);
  switch (item.kind) {
    case 'rule': {
      const within = item.range === undefined ? '' : ` in ${printRange(item.range)}`;
      const when = item.when === undefined ? '' : ` when ${printExpression(item.when)}`;
      return line(`${labelled(item.label)}i -> j${within}${when}`);
    }
    case 'block':
      return braces(page, `${labelled(item.label)}{`, item, indent);
    case 'for':
      return braces(page, `for ${forHead(item)} {`, item, indent);
    case 'let':
      return line(`let ${item.name.text} = ${printExpression(item.value)}`);
    case 'restrict':
      return line(`restrict ${printExpression(item.condition)}`);
    case 'include':
      return line(`${labelled(item.label)}include ${item.pattern.text}${printArguments(item.args)}`);
    case 'overlaps':
      return line(`overlaps ${item.mode}`);
    case 'score':
      return line(`score = ${printExpression(item.value)}`);
    case 'mix':
      return line(`mix = ${item.name.text}${item.args.length === 0 ? '' : printArguments(item.args)}`);
    case 'input': {
      const axes = item.axes.length === 0 ? '' : `[${item.axes.map(printExpression).join(', ')}]`;
      return line(`input ${item.name.text}: ${item.type}${axes}`);
    }
    case 'tokens': {
      const axes = item.axes.map(
        ({ name, size }) => `${name.text}: ${size === undefined ? '?' : printExpression(size)}`,
      );
      return line(`tokens (${axes.join(', ')})`);
    }
    case 'align':
      return line(`align ${item.to}`);
  }
}

function braces(
  page: Page,
  head: string,
  node: { readonly items: readonly ItemAst[]; readonly span: { readonly end: number } },
  indent: string,
): void {
  write(page, indent + head);
  printItems(page, node.items, `${indent}  `, node.span.end);
  write(page, `${indent}}`);
}

function forHead({ names, over }: ForAst): string {
  const list = names.map((name) => name.text).join(', ');
  const head = names.length === 1 ? list : `(${list})`;
  switch (over.kind) {
    case 'range':
      return `${head} in ${printRange(over)}`;
    case 'zip':
      return `${head} in zip(${over.lists.map(printExpression).join(', ')})`;
    case 'each':
      return `${head} in ${printExpression(over.list)}`;
  }
}
