import { readdirSync, readFileSync } from 'node:fs';
import { hasErrors, parse } from '../../grammar/index.js';
import { milliseconds, median, table, timed, verdict } from './measure.js';

const RUNS = 9;
/** Runs before those that count: this is about a warm process. */
const WARM_UP = 10;
/** Copies of all samples, each pattern under a name of its own, in one text. */
const COPIES = 20;

/** Lexing and parsing, of all samples one by one and of one large text. */
export function parseTimes(): string {
  const files = readdirSync('samples').filter((name) => name.endsWith('.attn'));
  const sources = files.map((name) => ({ file: name, text: readFileSync(`samples/${name}`, 'utf8') }));
  const bodies = sources.map((s) => s.text.replace(/^import .*\n/gm, ''));
  const large = Array.from({ length: COPIES }, (_, n) =>
    bodies.map((text) => text.replace(/^pattern (\w+)/gm, `pattern $1_${n}`)).join('\n'),
  ).join('\n');
  const rows = [
    ['every sample by itself', sources],
    ['one text', [{ file: 'large.attn', text: large }]],
  ] as const;
  return table(`Lexing and parsing: median of ${RUNS}, at least 1 MB/s`, [
    ['text', 'KB', 'CPU ms', 'MB/s (CPU)', 'reached'],
    ...rows.map(([name, texts]) => {
      const bytes = texts.reduce((sum, s) => sum + Buffer.byteLength(s.text), 0);
      const once = (): number =>
        timed(() => {
          for (const s of texts) {
            if (hasErrors(parse(s).diagnostics)) throw new Error(`${s.file} does not parse`);
          }
        }).cpu;
      for (let n = 0; n < WARM_UP; n++) once();
      const cpu = median(Array.from({ length: RUNS }, once));
      const rate = bytes / 1000 / cpu;
      return [name, (bytes / 1000).toFixed(0), milliseconds(cpu), rate.toFixed(1), verdict(1, rate)];
    }),
  ]);
}
