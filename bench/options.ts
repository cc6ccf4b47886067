import { parseArgs } from 'node:util';
import { GROUPS, ROWS, smallRow, type Row } from './rows.js';

/** What a comparison is asked to do. */
export interface Options {
  readonly rows: readonly Row[];
  readonly out: string;
  readonly small: boolean;
  readonly device: string | undefined;
  readonly python: string;
  /** Parts that are left out. */
  readonly without: readonly Part[];
  readonly blocks: readonly number[];
  /** Processes that compile at once. */
  readonly atOnce: number | undefined;
  readonly warmUp: number;
  readonly patience: number;
  readonly commit: string | undefined;
  /** Milliseconds after which no more is begun and what runs is stopped. */
  readonly deadline: number;
}

export const PARTS = ['torch', 'onnx', 'robust'] as const;
export type Part = (typeof PARTS)[number];

export const USAGE = `node dist/bench/compare.js [options]

  --rows LIST      rows or groups (${GROUPS.join(', ')}), separated by commas; all by default; -NAME leaves one out
  --out DIR        where comparison.json and comparison.md are written (default: .)
  --without LIST   ${PARTS.join(', ')}: leave PyTorch, onnxruntime-node, or robustness on out
  --small          sizes for a software device, to try the comparison out: its times mean nothing
  --device NAME    as attnc --device has it
  --python FILE    the Python that has torch (default: python3)
  --blocks LIST    block sizes that FlexAttention is tried with (default: 64,128)
  --at-once N      processes that compile at the same time (default: three quarters of the processors)
  --deadline S     seconds after which nothing is begun any more and the tables are written (default: none)
  --warm-up MS     milliseconds of work before anything is timed (default: 300)
  --patience MS    milliseconds of timed work of each side and row (default: 400)
  --commit TEXT    what attnc was built from, where git cannot say
  --list           print the rows and end
`;

/** Throws an error whose message is for the user. */
export function readOptions(args: readonly string[]): Options | 'help' | 'list' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rows: { type: 'string' },
      out: { type: 'string', default: '.' },
      without: { type: 'string', default: '' },
      small: { type: 'boolean', default: false },
      device: { type: 'string' },
      python: { type: 'string', default: 'python3' },
      blocks: { type: 'string', default: '64,128' },
      'at-once': { type: 'string' },
      'warm-up': { type: 'string', default: '300' },
      patience: { type: 'string', default: '400' },
      commit: { type: 'string' },
      deadline: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  if (values.list) return 'list';
  const chosen = chooseRows(split(values.rows ?? ''));
  const without = split(values.without).map((part): Part => {
    const known = PARTS.find((p) => p === part);
    if (known === undefined) throw new Error(`--without ${part}: it takes ${PARTS.join(', ')}`);
    return known;
  });
  const blocks = split(values.blocks).map((b) => whole('--blocks', b, 16));
  return {
    rows: values.small ? chosen.map(smallRow) : chosen,
    out: values.out,
    small: values.small,
    device: values.device,
    python: values.python,
    without,
    blocks,
    atOnce: values['at-once'] === undefined ? undefined : whole('--at-once', values['at-once'], 1),
    warmUp: whole('--warm-up', values['warm-up'], 0),
    patience: whole('--patience', values.patience, 1),
    commit: values.commit,
    deadline: values.deadline === undefined ? Infinity : 1000 * whole('--deadline', values.deadline, 1),
  };
}

const split = (list: string): readonly string[] => list.split(',').filter((name) => name !== '');

function whole(option: string, text: string, least: number): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < least)
    throw new Error(`${option} ${text}: it takes whole numbers from ${least}`);
  return n;
}

/** Rows by name or group, in the table's order; with a minus, all but those. */
export function chooseRows(names: readonly string[]): readonly Row[] {
  const matching = (name: string): readonly Row[] => {
    const found = ROWS.filter((r) => r.id === name || r.group === name);
    if (found.length > 0) return found;
    throw new Error(`--rows ${name}: no row or group has this name; --list prints them`);
  };
  const wanted = names.filter((n) => !n.startsWith('-')).flatMap(matching);
  const left = names.filter((n) => n.startsWith('-')).flatMap((n) => matching(n.slice(1)));
  return ROWS.filter((r) => (wanted.length === 0 || wanted.includes(r)) && !left.includes(r));
}
