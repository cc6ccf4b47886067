/** docs/diagnostics.md: every code of the compiler and the runtime, with what is said in a broken sample. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { codes } from '../../grammar/codes.js';
import { errorTable } from '../../runtime/errors.js';
import { renderErrors } from '../tools/golden-errors.js';

export const diagnosticsFile = 'docs/diagnostics.md';

interface Example {
  readonly message: string;
  /** From docs/. */
  readonly link: string;
}

/** The first message of each code in samples/errors. */
function examples(): ReadonlyMap<string, Example> {
  const found = new Map<string, Example>();
  for (const { file, rendered } of renderErrors()) {
    for (const [, code, message] of rendered.matchAll(/^(?:error|warning)\[(\w+)\]: (.*)$/gm)) {
      if (!found.has(code)) found.set(code, { message, link: `../${file}` });
    }
  }
  return found;
}

const cell = (text: string): string => text.replaceAll('|', '\\|');

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function compilerTable(prefix: string): string {
  const example = examples();
  const rows = Object.entries(codes)
    .filter(([code]) => code.startsWith(prefix))
    .map(([code, title]) => {
      const shown = example.get(code);
      return [code, title, shown ? `[${shown.message.replace(/[[\]]/g, '\\$&')}](${shown.link})` : ''];
    });
  return table(['code', 'what', 'for instance'], rows);
}

function runtimeTable(prefixes: readonly string[]): string {
  const rows = Object.entries(errorTable)
    .filter(([, { code }]) => prefixes.some((p) => code.startsWith(p)))
    .map(([kind, { code, title }]) => [code, title, `\`${kind}\``]);
  return table(['code', 'what', 'kind'], rows);
}

/** The page, made anew. */
export async function diagnosticsPage(): Promise<string> {
  const config = await resolveConfig(diagnosticsFile);
  return format(pageText(), { ...config, filepath: diagnosticsFile });
}

/** Rewrites the page where it is stale; returns its name if it was. */
export async function updateDiagnosticsPage(): Promise<readonly string[]> {
  const page = await diagnosticsPage();
  if (existsSync(diagnosticsFile) && readFileSync(diagnosticsFile, 'utf8') === page) return [];
  writeFileSync(diagnosticsFile, page);
  return [diagnosticsFile];
}

function pageText(): string {
  return `# Diagnostics

<!-- Made by test/docs/diagnostics-page.ts: \`npm run golden\` rewrites it. -->

Every message has a code that never changes its meaning. \`attnc … --diagnostics plain\` prints one line each, \`--diagnostics json\` an array, for editors and scripts. Errors and warnings go to standard error.

## The text: ATTN1xxx

Found while the text is read. All of them are reported in one run. The examples lead to whole messages.

${compilerTable('ATTN1')}

## Names, types and meaning: ATTN2xxx

Found while the pattern is checked.

${compilerTable('ATTN2')}

## Exporting: ATTN3xxx

What another framework has no way to compute, found by \`attnc export\`.

${compilerTable('ATTN3')}

## The device and what is bound: ATTN4xxx

Errors of \`attnc run\` and \`attnc verify\`, and of the runtime: an \`AttncError\` with \`code\`, \`kind\`, \`problem\`, \`help\` and \`details\`. \`isAttncError(error, 'wrong-shape')\` tells one kind from the others. After any of them but the loss of the device, the device can be used on; what the runtime had made is freed.

${runtimeTable(['ATTN4'])}

## Files and the command line: ATTN5xxx

${runtimeTable(['ATTN5'])}
`;
}
