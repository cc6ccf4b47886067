/**
 * `npm run bench`: how long compiling, planning and parsing take, as Markdown tables with the machine. CPU time stands
 * beside wall time, because other work on the machine lengthens only the latter. The working folder is the package's root.
 */
import { cpus, loadavg } from 'node:os';
import { compileTimes, coldTimes } from '../bench/compiling.js';
import { growthTimes, planTimes } from '../bench/planning.js';
import { parseTimes } from '../bench/parsing.js';

const load = loadavg()
  .map((x) => x.toFixed(1))
  .join(' ');
console.log(
  `${cpus()[0]?.model ?? 'unknown CPU'} × ${cpus().length}, Node ${process.versions.node}, ` +
    `${new Date().toISOString().slice(0, 10)}, load ${load}\n`,
);
for (const section of [coldTimes, parseTimes, planTimes, growthTimes, compileTimes]) console.log(section());
