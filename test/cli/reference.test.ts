/** Results that other programs computed (test/data/reference), reproduced through `attnc verify` on a device. */
import { readdirSync } from 'node:fs';
import test from 'ava';
import { attnc, DEVICE } from './harness.js';

interface Reference {
  /** In test/data/reference. */
  readonly file: string;
  readonly sample: string;
  readonly pattern: string;
  readonly set?: readonly string[];
}

const references: readonly Reference[] = [
  { file: 'alibi_softcap20_causal', sample: 'alibi', pattern: 'alibi_softcap', set: ['cap=20'] },
  { file: 'causal_gqa', sample: 'dense', pattern: 'causal' },
  { file: 'decode_17_129', sample: 'dense', pattern: 'causal' },
  { file: 'decode_1_300', sample: 'dense', pattern: 'causal' },
  { file: 'documents_causal', sample: 'documents', pattern: 'documents_causal' },
  { file: 'karate_club', sample: 'graph', pattern: 'graph' },
  { file: 'longformer8', sample: 'longformer', pattern: 'global_sliding', set: ['window=8'] },
  {
    file: 'longnet',
    sample: 'longnet',
    pattern: 'longnet_torchscale',
    set: ['w=[64,128,256,512]', 'r=[1,2,4,8]'],
  },
  {
    file: 'longnet_causal',
    sample: 'longnet',
    pattern: 'longnet_torchscale_causal',
    set: ['w=[64,128,256]', 'r=[1,2,4]'],
  },
  { file: 'sliding16', sample: 'sliding', pattern: 'sliding', set: ['window=16'] },
];

interface Report {
  readonly pass: boolean;
  readonly device: { readonly kind: string };
  readonly patterns: readonly {
    readonly rows: number;
    readonly totalRows: number;
    readonly findings: readonly {
      readonly against: string;
      readonly measure: string;
      readonly error: number;
      readonly tolerance: number;
    }[];
  }[];
}

const argsOf = ({ file, sample, pattern, set = [] }: Reference): string[] => [
  ...['verify', `samples/${sample}.attn`, '--pattern', pattern],
  ...['--input', `test/data/reference/${file}.safetensors`, '--device', DEVICE],
  ...set.flatMap((s) => ['--set', s]),
];

test('every reference file has its pattern', (t) => {
  const files = readdirSync('test/data/reference').filter((n) => n.endsWith('.safetensors'));
  t.deepEqual(files.sort(), references.map((r) => `${r.file}.safetensors`).sort());
});

for (const reference of references) {
  test.serial(`attnc ${argsOf(reference).slice(0, -2).join(' ')}`, async (t) => {
    const { status, stdout, stderr } = await attnc([...argsOf(reference), '--json']);
    t.is(status, 0, `${stderr}${stdout}`);
    const report = JSON.parse(stdout) as Report;
    t.true(report.pass);
    const [pattern] = report.patterns;
    t.is(pattern.rows, pattern.totalRows);
    // Whole tensor, worst row and lse, against the oracle and against the file; f32's tolerances.
    t.deepEqual(
      pattern.findings.map((f) => `${f.against} ${f.measure}`),
      ['oracle out', 'oracle worst row', 'oracle lse', 'file out', 'file worst row', 'file lse'],
    );
    for (const f of pattern.findings) {
      t.true(f.error <= f.tolerance, `${f.measure} ${f.error}`);
      t.true(f.tolerance <= 5e-5, `${f.measure} ${f.tolerance}`);
    }
  });
}

test.serial('with the wrong parameter, verify fails and says where', async (t) => {
  const wrong = references.find((r) => r.file === 'sliding16')!;
  const { status, stdout } = await attnc(argsOf({ ...wrong, set: ['window=15'] }));
  t.is(status, 1);
  t.regex(stdout, /FAIL sliding: window = 15/);
  t.regex(stdout, /oracle worst row +\S+ ≤/);
  t.regex(stdout, /file lse +\S+ > \S+ \(batch \d, head \d, row \d+\)  FAILS/);
});
