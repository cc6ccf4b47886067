// README is true: its commands run and print what it shows, its patterns compile, its pictures and programs are current.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import test from 'ava';
import { compile, packProgram, render } from '../../compiler/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { fromNumbers } from '../../runtime/index.js';
import { browserAvailable, NO_BROWSER, withPage } from '../browser/with-page.js';
import { fencedBlocks } from './pictures.js';
import { draw, examplesOf, execute, matches, picturesOf, readmeFile, runExamples } from './readme.js';

const document = readFileSync(readmeFile, 'utf8');
const longFile = 'docs/long-sequences.md';
const blocks = fencedBlocks(document);
const inBrowser = browserAvailable() === null ? test.skip : test;

test('every pattern compiles without a remark', (t) => {
  const patterns = blocks.filter((b) => b.language === 'attn');
  t.true(patterns.length >= 5);
  for (const { text } of patterns) {
    const { program, diagnostics, sources } = compile({ file: 'README.attn', text });
    t.truthy(program, text);
    t.is(render(diagnostics, sources, { format: 'plain', color: false }), '');
  }
});

test.serial('every command does what is shown', async (t) => {
  const examples = examplesOf(document);
  const commands = examples.map((e) => /\battnc (\w+)/.exec(e.command)?.[1]);
  for (const name of ['check', 'compile', 'explain', 'draw', 'run', 'verify', 'bench', 'tune', 'devices']) {
    t.true(commands.includes(name), `README shows no attnc ${name}`);
  }
  await runExamples(examples, ({ command, shown }, { status, output }) => {
    t.is(status, 0, `${command}\n${output}`);
    if (shown !== '') t.true(matches(output, shown), `${command}\nshown:\n${shown}\nprinted:\n${output}`);
  });
});

test.serial('so do those of docs/long-sequences.md', async (t) => {
  const examples = examplesOf(readFileSync(longFile, 'utf8'));
  t.true(examples.length >= 2);
  await runExamples(examples, ({ command, shown }, { status, output }) => {
    t.is(status, 0, `${command}\n${output}`);
    t.true(matches(output, shown), `${command}\nshown:\n${shown}\nprinted:\n${output}`);
  });
});

test('what is shown is compared: another number does not match', (t) => {
  t.true(matches('time 3 ms on x\nend\n', 'time … on x\nend'));
  t.true(matches('a\nb\nc\n', 'a\n…\nc'));
  t.false(matches('a\nb\nd\n', 'a\n…\nc'));
  t.false(matches('edges 12\n', 'edges 13'));
  t.deepEqual(examplesOf('```console\n$ attnc a \\\n    b\nout\n$ attnc c\n```\n'), [
    { command: 'attnc a b', shown: 'out' },
    { command: 'attnc c', shown: '' },
  ]);
});

test.serial('every picture is what its command draws (npm run golden redraws them)', async (t) => {
  const pictures = picturesOf(document);
  t.is(pictures.length, [...document.matchAll(/<img /g)].length);
  t.true(pictures.length >= 4);
  for (const picture of pictures) {
    t.true(readFileSync(picture.file, 'utf8') === (await draw(picture)), `${picture.file} is stale`);
  }
});

test.serial('the program for Node runs', async (t) => {
  const programs = blocks.filter((b) => b.language === 'js');
  t.is(programs.length, 1);
  const [{ text, after }] = programs;
  // `attnc/…` are this package's own exports: its built modules.
  const { status, stdout, stderr } = await execute(process.execPath, ['--input-type=module', '-'], {
    stdin: text,
  });
  t.is(status, 0, stderr);
  const [shown] = blocks.filter((b) => b.start > after);
  t.is(shown.language, 'text');
  t.true(matches(stdout, shown.text.trimEnd()), stdout);
});

/** What the page of README has in the end. */
interface Outcome {
  readonly q: readonly number[];
  readonly k: readonly number[];
  readonly v: readonly number[];
  readonly out: readonly number[];
  readonly text: string | null;
}

inBrowser(`the page runs${browserAvailable() === null ? ` (${NO_BROWSER})` : ''}`, async (t) => {
  const pages = blocks.filter((b) => b.language === 'html');
  t.is(pages.length, 1);
  const [, file, set] =
    /attnc compile (\S+) --pattern longformer --set (window=\d+) -o /.exec(document) ?? [];
  const { program } = compile(
    { file, text: readFileSync(file, 'utf8') },
    { pattern: 'longformer', set: { window: Number(set.split('=')[1]) } },
  );
  if (program === undefined) return t.fail();
  const html = pages[0].text
    .replace('./node_modules/attnc/dist/', '/dist/')
    // The module's own variables, for the comparison below.
    .replace(/<\/script>\s*$/, 'globalThis.page = { q, k, v, out: result };</script>');
  const outcome = await withPage(
    async (page) => {
      await page.waitForFunction('globalThis.page !== undefined');
      return (await page.evaluate(
        `({ q: [...page.q.data], k: [...page.k.data], v: [...page.v.data], out: [...page.out],
            text: document.body.textContent })`,
      )) as Outcome;
    },
    { pages: { '/page.html': html, '/build/longformer.json': packProgram(program) }, path: '/page.html' },
  );
  t.regex(outcome.text ?? '', /longformer/);
  const shape = [1, 2, 256, 64];
  const tensorOf = (values: readonly number[]) => fromNumbers('f32', shape, values);
  const expected = reference(program.pattern, {
    q: tensorOf(outcome.q),
    k: tensorOf(outcome.k),
    v: tensorOf(outcome.v),
    parameters: { globals: 4 },
  });
  const comparison = compare({ out: outcome.out }, expected);
  t.true(comparison.pass, JSON.stringify(comparison));
});

test('every file that is linked is there', (t) => {
  for (const file of [readmeFile, 'CONTRIBUTING.md', 'docs/language.md', 'docs/diagnostics.md', longFile]) {
    const text = readFileSync(file, 'utf8').replace(/```[^]*?```/g, '');
    for (const [, link] of text.matchAll(/\]\(([^)#:\s]+)(?:#[^)]*)?\)/g)) {
      t.true(existsSync(join(dirname(file), link)), `${file}: ${link}`);
    }
  }
});

test('CONTRIBUTING names what is there', (t) => {
  const text = readFileSync('CONTRIBUTING.md', 'utf8');
  const paths = [...text.matchAll(/`((?:cli|compiler|docs|grammar|runtime|samples|test|\.ci)\/[\w./-]*)`/g)];
  t.true(paths.length > 20);
  for (const [, path] of paths) t.true(existsSync(path), path);
  const folders = readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.test\.ts$/.test(name) && name.includes(sep))
    .map((name) => name.split(sep)[0]);
  for (const folder of new Set(folders)) t.true(text.includes(`\`${folder}\``), `test/${folder}`);
});
