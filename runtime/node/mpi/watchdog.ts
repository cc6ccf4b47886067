// MPI_Init blocks until all ranks have come to it. One that ends in order before, or a network on which ranks don't
// reach each other, would have the others wait for ever.

import { Worker } from 'node:worker_threads';
import { mpiStuck } from './problems.js';

/** As this thread is blocked, another one counts. It needs nothing of this thread's event loop. */
const SCRIPT = `
  const { workerData: { text, pid, milliseconds } } = require('node:worker_threads');
  setTimeout(() => {
    require('node:fs').writeSync(2, text);
    process.kill(pid, 'SIGKILL');
  }, milliseconds);`;

/**
 * Unless what it returns is called within so many seconds: says on standard error that ranks are missing, and kills this
 * process, whereupon mpirun ends the others. Rank 0 is first, so that mostly it alone speaks.
 */
export function watchStart(seconds: number, rank: number): () => void {
  const { code, message } = mpiStuck(seconds);
  const worker = new Worker(SCRIPT, {
    eval: true,
    workerData: {
      text: `attnc: error[${code}]: rank ${rank}: ${message}\n`,
      pid: process.pid,
      milliseconds: 1000 * (seconds + (rank === 0 ? 0 : 3)),
    },
  });
  worker.unref();
  return () => void worker.terminate();
}
