/** What goes wrong: exit statuses, and one clear line for each. */
import { writeFileSync } from 'node:fs';
import test from 'ava';
import { PROGRAM_VERSION } from '../../compiler/ir/program.js';
import { attnc, isTidy, scratch } from './harness.js';

interface Case {
  readonly args: string;
  readonly status: number;
  readonly says: RegExp;
}

const longformer = 'samples/longformer.attn';
const sliding16 = 'test/data/reference/sliding16.safetensors';

const cases: readonly Case[] = [
  // Wrong usage.
  { args: 'frob', status: 2, says: /unknown command 'frob'/ },
  { args: 'exlain x', status: 2, says: /unknown command 'exlain'.*explain/ },
  { args: 'check', status: 2, says: /missing required argument 'files'/ },
  { args: 'compile a b', status: 2, says: /too many arguments/ },
  { args: `check ${longformer} --frob`, status: 2, says: /unknown option '--frob'/ },
  {
    args: `check ${longformer} --diagnostics loud`,
    status: 2,
    says: /Allowed choices are pretty, plain, json/,
  },
  { args: `compile ${longformer} --set window`, status: 2, says: /'window' must be NAME=VALUE/ },
  { args: `compile ${longformer} --set window=abc`, status: 2, says: /'abc' must be a number/ },
  { args: `compile ${longformer} --set window=`, status: 2, says: /'' must be a number/ },
  { args: `compile ${longformer} --set w=[1,,2]`, status: 2, says: /'' must be a number/ },
  { args: `compile ${longformer} --set window=1 --set window=2`, status: 2, says: /'window' is set twice/ },
  {
    args: `compile ${longformer} --head-size 20`,
    status: 2,
    says: /'20' must be a multiple of 8 from 16 to 256/,
  },
  { args: `compile ${longformer} --target metal`, status: 2, says: /Allowed choices are auto, portable/ },
  { args: `compile ${longformer} --emit tree`, status: 2, says: /Allowed choices are program, wgsl/ },
  { args: `compile ${longformer} -o out --emit wgsl`, status: 2, says: /-o writes whole programs/ },
  { args: `explain ${longformer}`, status: 2, says: /nothing says how many tokens/ },
  { args: `explain ${longformer} --length -3`, status: 2, says: /'-3' must be a whole number from 1/ },
  { args: `explain ${longformer} --length 0`, status: 2, says: /'0' must be a whole number/ },
  { args: `explain ${longformer} --length 1e99`, status: 2, says: /'1e99' must be a whole number/ },
  { args: `explain ${longformer} --length 2.5`, status: 2, says: /'2.5' must be a whole number/ },
  {
    args: `explain ${longformer} --length 9 --heads 3 --key-heads 2`,
    status: 2,
    says: /multiple of --key-heads 2/,
  },
  { args: `draw ${longformer} --length 9 --head 4`, status: 2, says: /there are 4 heads/ },
  { args: `draw ${longformer} --length 9 --sequence 1`, status: 2, says: /the batch has 1/ },
  { args: `run ${longformer}`, status: 2, says: /no tensors to run on/ },
  { args: `run ${longformer} --random`, status: 2, says: /nothing says how many tokens/ },
  { args: `run ${longformer} --input - --random`, status: 2, says: /not read from standard input/ },
  { args: `run ${longformer} --length 5 --input ${sliding16}`, status: 2, says: /--length does not go with/ },
  { args: `run ${longformer} --input q=${sliding16}`, status: 2, says: /have names/ },
  {
    args: `run ${longformer} --input ${sliding16} --input ${sliding16}`,
    status: 2,
    says: /in several --input files/,
  },
  {
    args: `verify ${longformer} --length 9 --set nope=1`,
    status: 2,
    says: /no pattern of .* has a parameter 'nope'/,
  },
  // Files.
  { args: 'check nofile.attn', status: 1, says: /nofile\.attn: no such file/ },
  { args: 'check samples', status: 1, says: /samples: it is a directory/ },
  { args: 'compile package.json', status: 1, says: /package\.json: it is no compiled program/ },
  { args: `compile ${longformer} -o package.json`, status: 1, says: /package\.json: it is not a folder/ },
  { args: `draw ${longformer} --length 9 -o x.gif`, status: 1, says: /pictures are \.png, \.svg or \.txt/ },
  { args: `draw ${longformer} --length 9 -o no/such/x.svg`, status: 1, says: /no such file or directory/ },
  {
    args: `run ${longformer} --input nofile.safetensors`,
    status: 1,
    says: /nofile\.safetensors: no such file/,
  },
  { args: `run ${longformer} --input x.txt`, status: 1, says: /extension '\.txt' is not one/ },
  {
    args: `run ${longformer} --random --length 9 -o no/such/x.npy`,
    status: 1,
    says: /there is no such folder/,
  },
  {
    args: `run ${longformer} --random --length 9 -o x.txt`,
    status: 1,
    says: /written as \.safetensors or \.npy/,
  },
  // What the compiler and the runtime say.
  { args: `compile ${longformer} --pattern nope`, status: 1, says: /ATTN2044.*no pattern `nope`/ },
  { args: `compile ${longformer} --set windw=3`, status: 1, says: /ATTN2042[^]*did you mean `window`/ },
  { args: `compile ${longformer} --set __proto__=1`, status: 1, says: /no parameter `__proto__`/ },
  { args: 'compile samples/longnet.attn --set w=64', status: 1, says: /parameter `w` is an int\[\]/ },
  {
    args: 'explain samples/sliding.attn --length 10 --queries 20',
    status: 1,
    says: /ATTN4108.*aligned at the end/,
  },
  {
    args: 'explain samples/neighbourhood.attn --pattern neighbourhood_2d --length 9',
    status: 1,
    says: /do not fill the grid/,
  },
  {
    args: `run samples/documents.attn --pattern documents --input ${sliding16}`,
    status: 1,
    says: /input 'doc'.*missing/,
  },
  {
    args: `verify ${longformer} --pattern longformer --length 1e9 --json`,
    status: 1,
    says: /ATTN4005.*not enough memory/,
  },
  {
    args: `run ${longformer} --random --length 9 --device nosuch`,
    status: 3,
    says: /ATTN4001.*no device matches 'nosuch'/,
  },
];

for (const { args, status, says } of cases) {
  test(`attnc ${args} → ${status}`, async (t) => {
    const { status: actual, stdout, stderr } = await attnc(args);
    t.is(actual, status, stderr);
    t.regex(stderr, says);
    t.true(isTidy(stderr), stderr);
    if (!args.startsWith('check')) t.is(stdout, '');
    // One line, unless it is a diagnostic with a frame.
    if (stderr.startsWith('attnc:')) t.is(stderr.trimEnd().split('\n').length, 1, stderr);
  });
}

test('broken files: tensors, programs, text that is no UTF-8', async (t) => {
  const file = scratch(t);
  writeFileSync(file('cut.safetensors'), Buffer.from([255, 0, 0, 0, 0, 0, 0, 0, 123]));
  writeFileSync(file('latin1.attn'), Buffer.from([0x70, 0xe4, 0x0a]));
  writeFileSync(
    file('cut.json'),
    `{"format":"attnc-program","version":${PROGRAM_VERSION},"shared":[],"program":{}}`,
  );
  writeFileSync(file('later.json'), `{"format":"attnc-program","version":${PROGRAM_VERSION + 1}}`);
  const broken: readonly [string[], RegExp][] = [
    [['run', longformer, '--input', file('cut.safetensors')], /header is 255 bytes long, the file 9/],
    [['check', file('latin1.attn')], /it is not UTF-8 text/],
    [['run', file('cut.json'), '--random', '--length', '9'], /parts of it are missing/],
    [['explain', file('later.json'), '--length', '9'], /version \d+ of programs is not known/],
  ];
  for (const [args, says] of broken) {
    const { status, stderr } = await attnc(args);
    t.is(status, 1);
    t.regex(stderr, says);
    t.true(isTidy(stderr));
  }
});

test('errors as JSON, one array, whatever went wrong', async (t) => {
  for (const [args, code] of [
    ['compile --frob --diagnostics json', 'ATTN5004'],
    ['compile nofile.attn --diagnostics=json', 'ATTN5003'],
    [`compile ${longformer} --pattern nope --diagnostics json`, 'ATTN2044'],
  ] as const) {
    const { stderr } = await attnc(args);
    const found = JSON.parse(stderr) as { code: string; severity: string; message: string }[];
    t.deepEqual(
      found.map((d) => [d.code, d.severity]),
      [[code, 'error']],
    );
  }
  const { status, stderr } = await attnc(`check ${longformer} --diagnostics json`);
  t.deepEqual([status, JSON.parse(stderr)], [0, []]);
});

test('plain diagnostics are lines; colours are for terminals, and NO_COLOR is heard', async (t) => {
  const source = 'pattern p { i -> j when j <= k }';
  const args = (format: string): string[] => ['check', '-', '--diagnostics', format];
  const plain = await attnc(args('plain'), { stdin: source });
  t.is(plain.status, 1);
  t.regex(plain.stderr, /^<stdin>:1:30: error ATTN\d{4}: .*\n$/);
  const piped = await attnc(args('pretty'), { stdin: source });
  t.regex(piped.stderr, /^error\[ATTN\d{4}\]: [^]*\n1 \| pattern p/);
  t.false(piped.stderr.includes('\u001b'));
  const terminal = await attnc(args('pretty'), { stdin: source, terminal: true });
  t.true(terminal.stderr.includes('\u001b['));
  const quiet = await attnc(args('pretty'), { stdin: source, terminal: true, env: { NO_COLOR: '1' } });
  t.false(quiet.stderr.includes('\u001b'));
});

test('every command has help with an example', async (t) => {
  for (const command of [
    '',
    'check',
    'compile',
    'explain',
    'draw',
    'run',
    'verify',
    'bench',
    'tune',
    'devices',
  ]) {
    const { status, stdout, stderr } = await attnc(`${command} --help`);
    t.is(status, 0);
    t.is(stderr, '');
    t.regex(stdout, /Usage: attnc/);
    t.regex(stdout, new RegExp(`Example:\\n  \\$ attnc ${command}`), command);
  }
  t.regex((await attnc('--version')).stdout, /^\d+\.\d+\.\d+\n$/);
  const bare = await attnc('');
  t.is(bare.status, 2);
  t.is(bare.stdout, '');
  t.regex(bare.stderr, /Usage: attnc/);
});

test('a bug is one line, and its stack only if asked for', async (t) => {
  const broken = {
    get stdin(): never {
      throw new TypeError('no such thing');
    },
  };
  const args = ['check', '-'];
  const { run } = await import('../../cli/run.js');
  const told = async (env: Record<string, string>): Promise<string> => {
    let text = '';
    const output = {
      write: (s: string | Uint8Array) => (text += String(s)),
      isTTY: false,
      columns: undefined,
    };
    const io = Object.defineProperty({ stdout: output, stderr: output, env }, 'stdin', {
      get: () => broken.stdin,
    }) as unknown as Parameters<typeof run>[1];
    t.is(await run(args, io), 1);
    return text;
  };
  t.regex(await told({}), /^attnc: error\[ATTN4099\]: TypeError: no such thing; this is a bug in attnc.*\n$/);
  t.regex(await told({ ATTNC_DEBUG: '1' }), /\n {4}at /);
});
