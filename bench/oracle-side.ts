/** `node oracle-side.js FOLDER PATIENCE ROW…`: the oracle of some rows. */
import { readJobs } from './jobs.js';
import { oneLine, tell } from './messages.js';
import { computeOracle, writeOracle } from './oracle.js';

const [folder, patience, ...ids] = process.argv.slice(2);
const { jobs } = readJobs(folder);
for (const id of ids) {
  tell({ kind: 'start', task: id });
  try {
    const job = jobs.find((j) => j.row.id === id);
    if (!job) throw new Error('no such row');
    const oracle = computeOracle(folder, job, Number(patience));
    writeOracle(folder, id, oracle);
    tell({ kind: 'result', task: id, result: { rows: oracle.picked.length } });
  } catch (error) {
    tell({ kind: 'failed', task: id, why: oneLine(error) });
  }
}
