import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { compile } from '../../compiler/index.js';
import { CASES } from '../golden/cases.js';
import { resolveSource } from '../tools/golden-errors.js';
import { leastOf, median, medianTime, milliseconds, table, timed, verdict, type Time } from './measure.js';

const WARM_RUNS = 9;
const COLD_RUNS = 7;
const MOST_WARM = 30;
const MOST_COLD = 300;

/** From text to WGSL in a process that has compiled every sample before. */
export function compileTimes(): string {
  const once = (file: string, pattern: string): Time => {
    const source = { file, text: readFileSync(file, 'utf8') };
    return timed(() => {
      const { program } = compile(source, { pattern, resolve: resolveSource });
      if (!program) throw new Error(`${file}: ${pattern} does not compile`);
    });
  };
  const runs = CASES.map((): Time[] => []);
  for (let run = -2; run < WARM_RUNS; run++) {
    CASES.forEach((c, n) => {
      const time = once(`samples/${c.file}.attn`, c.pattern);
      if (run >= 0) runs[n].push(time);
    });
  }
  const rows = CASES.map((c, n) => {
    const time = medianTime(runs[n]);
    const reached = verdict(leastOf(time), MOST_WARM);
    return [`${c.file}: ${c.pattern}`, milliseconds(time.wall), milliseconds(time.cpu), reached];
  });
  return table(`Compiling, warm: text to WGSL, median of ${WARM_RUNS}, at most ${MOST_WARM} ms`, [
    ['pattern', 'wall ms', 'CPU ms', 'reached'],
    ...rows,
  ]);
}

/** The whole command, from starting Node to its end. */
export function coldTimes(): string {
  const main = fileURLToPath(new URL('../../bin/attnc.js', import.meta.url));
  const node = (name: string, args: readonly string[]): readonly string[] => {
    const walls: number[] = [];
    const cpus: number[] = [];
    for (let run = 0; run < COLD_RUNS; run++) {
      // The child tells its own CPU time last: nothing of the kind is known of a finished child in Node.
      const tell = `process.on('exit', () => { const u = process.cpuUsage(); console.error('cpu ' + (u.user + u.system)); });`;
      const start = performance.now();
      const done = spawnSync(process.execPath, ['--import', `data:text/javascript,${tell}`, ...args], {
        encoding: 'utf8',
        maxBuffer: 1 << 26,
      });
      walls.push(performance.now() - start);
      if (done.status !== 0) throw new Error(`${name}: ${done.stderr}`);
      cpus.push(Number(/cpu (\d+)/.exec(done.stderr)?.[1]) / 1000);
    }
    return [name, milliseconds(median(walls)), milliseconds(median(cpus))];
  };
  const compiled = ['sliding', 'longformer', 'bigbird', 'longnet'].map((file) => {
    const args = [main, 'compile', `samples/${file}.attn`, '--pattern', file, '--emit', 'wgsl'];
    const row = node(`attnc compile samples/${file}.attn`, args);
    return [...row, verdict(Math.min(Number(row[1]), Number(row[2])), MOST_COLD)];
  });
  return table(`The whole command, cold: median of ${COLD_RUNS}, at most ${MOST_COLD} ms`, [
    ['command', 'wall ms', 'CPU ms', 'reached'],
    [...node('node -e 0 (Node itself)', ['-e', '0']), ''],
    ...compiled,
  ]);
}
