import { existsSync, readFileSync } from 'node:fs';
import { Command } from 'commander';
import { benchCommand } from './commands/bench.js';
import { checkCommand } from './commands/check.js';
import { compileCommand } from './commands/compile.js';
import { devicesCommand } from './commands/devices.js';
import { drawCommand } from './commands/draw.js';
import { explainCommand } from './commands/explain.js';
import { exportCommand } from './commands/export.js';
import { runCommand } from './commands/run.js';
import { tuneCommand } from './commands/tune.js';
import { verifyCommand } from './commands/verify.js';
import type { Session } from './session.js';

/** Every command with its options; what they do is loaded when one runs. */
export function createProgram(session: Session): Command {
  const program = new Command('attnc')
    .description('Compiles .attn attention patterns to WebGPU kernels, runs them and checks the results.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .addHelpText(
      'after',
      '\nExample:\n  $ attnc verify samples/longformer.attn --length 1000 --set window=64\n\n' +
        'Exit status: 0 done, 1 diagnostics or verification failed, 2 wrong usage, 3 no usable device.',
    );
  const commands = [
    checkCommand(session),
    compileCommand(session),
    explainCommand(session),
    drawCommand(session),
    runCommand(session),
    verifyCommand(session),
    exportCommand(session),
    benchCommand(session),
    tuneCommand(session),
    devicesCommand(session),
  ];
  for (const command of commands) program.addCommand(command);
  for (const command of [program, ...commands]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => session.io.stdout.write(text),
      writeErr: (text) => session.io.stderr.write(text),
      // Told by run.ts, in the format asked for.
      outputError: () => undefined,
      getOutHelpWidth: () => session.io.stdout.columns ?? 100,
      getErrHelpWidth: () => session.io.stderr.columns ?? 100,
    });
  }
  return program;
}

/** From the nearest package.json that is ours: compiled code may lie at several depths. */
function packageVersion(): string {
  for (let folder = new URL('./', import.meta.url), n = 0; n < 5; folder = new URL('../', folder), n++) {
    const file = new URL('package.json', folder);
    if (!existsSync(file)) continue;
    const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string };
    if (name === 'attnc' && version !== undefined) return version;
  }
  return 'unknown';
}
