/** Progress: nothing for a second, then a line that changes on a terminal, one plain line elsewhere. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { createProgress } from '../../cli/progress.js';
import type { Io } from '../../cli/io.js';

async function shown(
  terminal: boolean,
  wanted = true,
): Promise<{ early: string; late: string; after: string }> {
  let text = '';
  const output = {
    write: (s: string | Uint8Array) => void (text += String(s)),
    isTTY: terminal,
    columns: 40,
  };
  const io: Io = { stdout: output, stderr: output, stdin: async () => new Uint8Array(), env: {} };
  const progress = createProgress(io, () => wanted);
  progress.step('counting', 'row 1');
  const early = text;
  await sleep(1150);
  progress.step('counting', 'row 2');
  await sleep(150);
  progress.step('drawing', 'x'.repeat(100));
  const late = text;
  text = '';
  progress.done();
  await sleep(50);
  return { early, late, after: text };
}

test('on a terminal', async (t) => {
  const { early, late, after } = await shown(true);
  t.is(early, '');
  t.regex(late, /^\r\u001b\[Kcounting: row \d \(1 s\)/);
  t.true(late.split('\r').every((line) => line.replace('\u001b[K', '').length < 40));
  t.is(after, '\r\u001b[K');
});

test('elsewhere, and not at all beside JSON', async (t) => {
  t.deepEqual(await shown(false), { early: '', late: 'attnc: counting, this takes a while …\n', after: '' });
  t.deepEqual(await shown(false, false), { early: '', late: '', after: '' });
});
