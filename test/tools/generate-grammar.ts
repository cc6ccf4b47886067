/** Writes what is generated from the grammar: `node dist/test/tools/generate-grammar.js`. */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { generateCstDts } from 'chevrotain';
import { AttnParser } from '../../grammar/parser.js';
import { grammarPage } from './grammar-page.js';

export interface Generated {
  readonly path: string;
  readonly text: string;
}

/** The files, named from the package's root, with what they should hold now. */
export function generateGrammar(): readonly Generated[] {
  // With Chevrotain's own checks of the grammar, which the parser leaves out elsewhere to start sooner.
  const parser = new AttnParser(false);
  const types = generateCstDts(parser.getGAstProductions(), { visitorInterfaceName: 'AttnVisitor' });
  const header = '// Generated from grammar/parser.ts by test/tools/generate-grammar.ts; not to be edited.\n';
  return [
    { path: 'grammar/generated/cst.ts', text: header + types },
    { path: 'docs/grammar.html', text: grammarPage(parser.getSerializedGastProductions()) },
  ];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const { path, text } of generateGrammar()) writeFileSync(path, text);
}
