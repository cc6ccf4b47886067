// A run that kill.test.ts kills: results that come slowly, into a file. Arguments: FILE and `resume` or `begin`.

import { setTimeout } from 'node:timers/promises';
import { resumableFile } from '../../runtime/stream/node/resume.js';
import { bandsOf, results, writeBand, type Shape } from './results.js';

export const SHAPE: Shape = [1, 2, 3000, 64];
export const DTYPE = 'f16';

async function main([path, mode]: readonly string[]): Promise<void> {
  const of = results(DTYPE, SHAPE);
  const bands = bandsOf(SHAPE, 100);
  const { sink, first } = await resumableFile(path, {
    identity: { program: 'p' },
    bands,
    dtype: DTYPE,
    shape: SHAPE,
    resume: mode === 'resume',
    interval: 10,
  });
  process.stdout.write(`${first}\n`);
  for (const band of bands.slice(first)) {
    await writeBand(sink, of, band);
    await setTimeout(5);
  }
  await sink.finish();
  await sink.close();
}

if (process.argv[1].endsWith('killed-run.js')) await main(process.argv.slice(2));
