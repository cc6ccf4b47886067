/** check and compile: results on standard output, every stage printed, files written. */
import { readdirSync, readFileSync } from 'node:fs';
import test from 'ava';
import { unpackProgram } from '../../compiler/index.js';
import { shaderText } from '../../compiler/ir/shader-text.js';
import { attnc, scratch } from './harness.js';

const longformer = 'samples/longformer.attn';

test('check: a line for each file, all of them checked', async (t) => {
  const { status, stdout, stderr } = await attnc(`check ${longformer} nofile.attn samples/dense.attn`);
  t.is(status, 1);
  t.is(
    stdout,
    `${longformer}: ok (longformer, global_sliding)\nnofile.attn: 1 error\nsamples/dense.attn: ok (dense, causal, cross)\n`,
  );
  t.regex(stderr, /no such file/);
});

test('check --json: files, counts, diagnostics with places', async (t) => {
  const { status, stdout } = await attnc('check - --json', { stdin: 'pattern p { i -> j when j <= k }' });
  const report = JSON.parse(stdout) as {
    errors: number;
    files: { file: string; patterns: string[]; diagnostics: { span: { line: number; column: number } }[] }[];
  };
  t.is(status, 1);
  t.is(report.errors, 1);
  t.is(report.files[0].file, '<stdin>');
  t.deepEqual(report.files[0].patterns, ['p']);
  const { line, column } = report.files[0].diagnostics[0].span;
  t.deepEqual([line, column], [1, 30]);
});

test('check: imports are found beside the file, and from the working directory for standard input', async (t) => {
  t.is((await attnc('check samples/shared-prefix.attn ./samples/sink.attn')).status, 0);
  const source = 'import "samples/sliding.attn"\npattern p { include sliding(3) }';
  t.is((await attnc('check -', { stdin: source })).status, 0);
  t.is((await attnc('check -', { stdin: source.replace('samples/', '') })).status, 1);
});

test('compile: the program on standard output, settings compiled in', async (t) => {
  const { status, stdout } = await attnc(
    `compile ${longformer} --pattern longformer --set window=128 --head-size 32 --value-size 48`,
  );
  t.is(status, 0);
  const program = unpackProgram(stdout);
  t.is(program.name, 'longformer');
  t.deepEqual([program.dim, program.valueDim], [32, 48]);
  t.is(program.parameters.find((p) => p.name === 'window')?.value, 128);
});

test('compile: from standard input, and a note which of several patterns it was', async (t) => {
  const one = await attnc('compile -', { stdin: 'pattern p { i -> j when j <= i }' });
  t.deepEqual([one.status, one.stderr, unpackProgram(one.stdout).name], [0, '', 'p']);
  const several = await attnc(`compile ${longformer}`);
  t.is(several.status, 0);
  t.regex(several.stderr, /compiled 'longformer' of longformer, global_sliding/);
});

test('compile -o: the program and its kernels as files', async (t) => {
  const file = scratch(t);
  const { status, stdout } = await attnc(['compile', longformer, '-o', file('a/b')]);
  t.is(status, 0);
  const names = readdirSync(file('a/b')).sort();
  t.true(names.includes('longformer.json'));
  t.true(names.filter((n) => n.endsWith('.wgsl')).length >= 1);
  t.deepEqual(
    stdout.trim().split('\n').sort(),
    names.map((n) => file(`a/b/${n}`)),
  );
  const program = unpackProgram(readFileSync(file('a/b/longformer.json'), 'utf8'));
  const kernels = program.variants.flatMap((v) =>
    v.kernels.map((k) => shaderText(program, k, { input: 'f32', output: 'f32' })),
  );
  const written = names.filter((n) => n.endsWith('.wgsl')).map((n) => readFileSync(file(`a/b/${n}`), 'utf8'));
  t.deepEqual(written.sort(), [...kernels].sort());
  const again = await attnc(['compile', longformer, '-o', file('a/b'), '--json']);
  t.is((JSON.parse(again.stdout) as { files: string[] }).files.length, names.length);
});

test('compile --emit: every stage, as text and as JSON', async (t) => {
  const stages: readonly [string, RegExp][] = [
    [
      'ast',
      /^pattern longformer\n  parameter window: int = 256\n[^]*  rule local\n    when abs\(i - j\) <= window\n/,
    ],
    [
      'edges',
      /^pattern longformer\n[^]*  edges merge \{\n    local: abs\(i - j\) <= window\n    readers: j < globals\n/,
    ],
    ['schedule', /^schedule \w+\n  when true\n  pass 1: tiles of rows, planned by the kernel, every row\n/],
    ['wgsl', /^\/\/ ---- \w+: portable, schedule \w+ ----\n[^]*@compute/],
    ['program', /^\{"format":"attnc-program"/],
  ];
  for (const [stage, says] of stages) {
    const { status, stdout } = await attnc(`compile ${longformer} --pattern longformer --emit ${stage}`);
    t.is(status, 0);
    t.regex(stdout, says);
    const json = await attnc(`compile ${longformer} --pattern longformer --emit ${stage} --json`);
    t.notThrows(() => JSON.parse(json.stdout));
  }
  const broken = await attnc('compile - --emit ast', { stdin: 'pattern {' });
  t.deepEqual([broken.status, broken.stdout], [1, '']);
});

test('every stage of every sample prints, the same each time', async (t) => {
  const samples = readdirSync('samples').filter((n) => n.endsWith('.attn'));
  t.true(samples.length >= 19);
  for (const name of samples) {
    for (const stage of ['ast', 'edges', 'schedule']) {
      const first = await attnc(`compile samples/${name} --emit ${stage}`);
      const second = await attnc(`compile samples/${name} --emit ${stage}`);
      t.is(first.status, 0, `${name} ${stage} ${first.stderr}`);
      t.true(first.stdout.length > 40);
      t.is(second.stdout, first.stdout);
      t.notRegex(first.stdout, /undefined|\[object|NaN/);
    }
  }
});

test('a compiled program is taken wherever a pattern is', async (t) => {
  const file = scratch(t);
  await attnc(['compile', longformer, '--pattern', 'longformer', '-o', file('.'), '--head-size', '32']);
  const program = file('longformer.json');
  const explained = await attnc(['explain', program, '--length', '300', '--set', 'window=5']);
  t.is(explained.status, 0, explained.stderr);
  t.regex(explained.stdout, /window = 5, globals = 64\n.*head size 32/);
  const asked = await attnc(['explain', program, '--length', '300', '--pattern', 'sliding']);
  t.is(asked.status, 2);
  t.regex(asked.stderr, /is the compiled pattern 'longformer'/);
  t.is((await attnc(['compile', program])).status, 2);
  const longnet = file('longnet.json');
  await attnc(['compile', 'samples/longnet.attn', '--pattern', 'longnet', '-o', file('.')]);
  const fixed = await attnc(['explain', longnet, '--length', '300', '--set', 'w=[8]', '--set', 'r=[1]']);
  t.is(fixed.status, 2);
  t.regex(fixed.stderr, /'w' was fixed when/);
});
