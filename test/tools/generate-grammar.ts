/** Writes what is generated from the grammar: `node dist/test/tools/generate-grammar.js`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { generateCstDts } from 'chevrotain';
import { format } from 'prettier';
import { AttnParser } from '../../grammar/parser.js';

export interface Generated {
  readonly path: string;
  readonly text: string;
}

/** The files, from the package's root, with what they should hold now. */
export async function generateGrammar(): Promise<readonly Generated[]> {
  const parser = new AttnParser(false);
  const style = JSON.parse(readFileSync('.prettierrc.json', 'utf8')) as Record<string, unknown>;
  const types = `// Generated from grammar/parser.ts by test/tools/generate-grammar.ts; not to be edited.\n${generateCstDts(
    parser.getGAstProductions(),
    { visitorInterfaceName: 'AttnVisitor' },
  )}`;
  return [
    { path: 'grammar/generated/cst.ts', text: await format(types, { ...style, parser: 'typescript' }) },
  ];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const { path, text } of await generateGrammar()) writeFileSync(path, text);
}
