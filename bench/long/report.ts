import type { FilesResult } from './files.js';
import type { GeneratedResult } from './generated.js';
import type { ResidentResult } from './resident.js';
import type { Subject } from './subjects.js';

/** What `npm run bench:long` found, and as Markdown. */

export interface LongResults {
  readonly date: string;
  readonly commit: string | undefined;
  readonly device: string;
  /** Lengths were divided by this; times then mean nothing. */
  readonly scale: number;
  readonly resident: readonly ResidentPair[];
  readonly generated: readonly Of<GeneratedResult>[];
  readonly files: readonly Of<FilesResult>[];
  readonly failures: readonly { readonly what: string; readonly why: string }[];
}

export type Of<T> = T & Pick<Subject, 'id' | 'title'>;

export interface ResidentPair extends Pick<Subject, 'id' | 'title'> {
  readonly short: ResidentResult;
  readonly long: ResidentResult;
}

/** Time for each token of the long run, over that of the short one. */
export const growthOf = ({ short, long }: ResidentPair): number =>
  long.time.median / long.tokens / (short.time.median / short.tokens);

const count = (n: number): string => n.toLocaleString('en');
const bytes = (n: number): string =>
  n >= 2 ** 30 ? `${(n / 2 ** 30).toFixed(1)} GiB` : `${(n / 2 ** 20).toFixed(1)} MiB`;
const verdict = (ok: boolean): string => (ok ? 'yes' : 'no');
const rate = (r: number): string => `${(r / 1e9).toFixed(2)} GB/s`;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map((_, n) => (n === 0 ? '---' : '---:')), ...rows]
    .map((r) => `| ${r.join(' | ')} |`)
    .join('\n');

export function markdown(results: LongResults): string {
  const parts: string[] = [
    `${results.date.slice(0, 10)}, ${results.device}${results.commit ? `, commit ${results.commit}` : ''}${results.scale === 1 ? '' : `, lengths divided by ${results.scale}: times mean nothing`}`,
  ];
  if (results.resident.length > 0) {
    parts.push(
      table(
        [
          'all on the device, f16, 1 head of 64',
          'tokens',
          'ms',
          'tokens, long',
          'ms',
          'a token against the short run',
          'within 1.15',
          'other memory',
          'under 2 %',
          'steps',
          'error',
        ],
        results.resident.map((pair) => {
          const { title, short, long } = pair;
          const share = long.otherBytes / long.tensorBytes;
          return [
            title,
            count(short.tokens),
            short.time.median.toFixed(3),
            count(long.tokens),
            long.time.median.toFixed(1),
            `${growthOf(pair).toFixed(3)} x`,
            verdict(growthOf(pair) <= 1.15),
            `${(100 * share).toFixed(2)} %`,
            verdict(share < 0.02),
            String(long.stats.steps),
            `${long.error.toExponential(1)} (${long.rows} rows${long.pass ? '' : ', FAILED'})`,
          ];
        }),
      ),
    );
  }
  if (results.generated.length > 0) {
    parts.push(
      table(
        [
          'generated',
          'tokens',
          's',
          'tokens/s',
          'of the resident run',
          'bands',
          'device memory',
          'rows by the oracle',
          'error',
          'sum',
        ],
        results.generated.map((g) => {
          const own = results.resident.find((r) => r.id === g.id)?.long;
          const part = own ? g.tokens / g.seconds / (own.tokens / (own.time.median / 1000)) : undefined;
          return [
            g.title,
            count(g.tokens),
            g.seconds.toFixed(1),
            `${(g.tokens / g.seconds / 1e6).toFixed(1)} M`,
            part === undefined ? '' : `${part.toFixed(2)} x`,
            String(g.stats.bands),
            bytes(g.stats.deviceBytes),
            count(g.rows),
            `${g.error.toExponential(1)}${g.pass ? '' : ' FAILED'}`,
            g.sum,
          ];
        }),
      ),
    );
  }
  if (results.files.length > 0) {
    parts.push(
      table(
        [
          'files to a file',
          'tokens',
          's',
          'disk',
          'bus up',
          'bus down',
          'bound, s',
          'of the bound',
          'host memory',
          'of it mapped',
          'budget',
          'error',
        ],
        results.files.map((f) => [
          f.title,
          count(f.tokens),
          f.seconds.toFixed(2),
          `${rate(f.disk.bytes / f.disk.seconds)}${f.disk.cold ? '' : ', cached'}`,
          ...[f.bus.up, f.bus.down].map(rate),
          f.bound.toFixed(2),
          `${((100 * f.bound) / f.seconds).toFixed(0)} %`,
          bytes(f.peakBytes - f.beforeBytes),
          bytes(f.stats.hostBytes),
          bytes(f.hostBytes),
          `${f.error.toExponential(1)}${f.pass ? '' : ' FAILED'}`,
        ]),
      ),
    );
  }
  for (const { what, why } of results.failures) parts.push(`${what}: ${why}`);
  return parts.join('\n\n');
}
