import { Command } from 'commander';
import { isAttncError, type AttncError } from '../../runtime/errors.js';
import { action } from '../action.js';
import { diagnosticsOption, jsonOption } from '../options.js';
import { STATUS, type DiagnosticsFormat, type Session } from '../session.js';
import { listed } from '../text.js';
import type { ListedDevice } from '../../runtime/node/index.js';

interface Options {
  readonly device?: string;
  readonly json?: boolean;
  readonly diagnostics: DiagnosticsFormat;
}

interface Taken {
  readonly name: string;
  readonly kind: string;
  readonly why: string;
  /**
   * Whether results in f16 are rounded by its own conversion, since that was seen to be exact, or by integers; null
   * where it could not be asked, as of the null device.
   */
  readonly roundsF16: 'itself' | 'by integers' | null;
}

export function devicesCommand(session: Session): Command {
  return new Command('devices')
    .description('List the devices that programs can run on, and which one is taken and why.')
    .option(
      '--device <name>',
      'gpu, lavapipe, swiftshader, null, or part of a name: which one would that be?',
    )
    .addOption(jsonOption())
    .addOption(diagnosticsOption())
    .addHelpText('after', '\nExample:\n  $ attnc devices --device swiftshader')
    .action((options: Options) => action(session, devices)(session, options));
}

async function devices(session: Session, options: Options): Promise<number> {
  const { listDevices, openDevice } = await import('../../runtime/node/index.js');
  session.progress.step('looking for devices');
  let taken: Taken | undefined;
  let problem: AttncError | undefined;
  try {
    const { device, name, kind, why, close } = await openDevice({ device: options.device });
    try {
      taken = { name, kind, why, roundsF16: kind === 'null' ? null : await rounding(device, session.note) };
    } finally {
      close();
    }
  } catch (error) {
    if (!isAttncError(error, 'no-adapter')) throw error;
    problem = error;
  }
  const list = await listDevices();
  session.progress.clear();
  if (options.json) {
    session.io.stdout.write(`${JSON.stringify({ taken: taken ?? null, ...list }, undefined, 2)}\n`);
  } else {
    if (taken)
      session.io.stdout.write(
        `${listed([
          ['taken', taken.name],
          ['why', taken.why],
          ...(taken.roundsF16 === null
            ? []
            : [['rounds', `results in f16 ${taken.roundsF16}`] as [string, string]]),
        ])}\n`,
      );
    session.io.stdout.write(list.devices.map((d) => `${deviceText(d)}\n`).join(''));
    session.io.stdout.write(list.empty.map((e) => `${e.source}: nothing (${e.reason})\n`).join(''));
  }
  return problem ? session.error(problem) : STATUS.done;
}

/** A device that fails here is one that the list may be wanted for: that is told, and the list goes on. */
export async function rounding(device: GPUDevice, note: Session['note']): Promise<Taken['roundsF16']> {
  const [{ convertsExactly }, { PRELUDES }] = await Promise.all([
    import('../../runtime/direct-outputs.js'),
    import('../../compiler/emit/preludes.js'),
  ]);
  try {
    return (await convertsExactly(device, { preludes: PRELUDES }, 'f16')) ? 'itself' : 'by integers';
  } catch (error) {
    note(`attnc: how it rounds is not known: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

function deviceText(d: ListedDevice): string {
  const names = Object.entries(d.features);
  const has = names.filter(([, there]) => there).map(([name]) => name);
  const lacks = names.filter(([, there]) => !there).map(([name]) => name);
  const sizes = d.subgroupSizes
    ? `subgroups of ${[...new Set(d.subgroupSizes)].join(' to ')}`
    : 'no subgroups';
  const matrices = d.matrixConfigs.map(
    (c) => `${c.m}×${c.n}×${c.k} ${c.componentType}→${c.resultComponentType}`,
  );
  const limits = Object.entries(d.limits).map(([name, value]) => `${name} ${value.toLocaleString('en')}`);
  const rows: [string, string][] = [
    ['  kind', `${d.kind}, from ${d.source}`],
    ['  has', [...has, sizes].join(', ')],
    ['  lacks', lacks.length === 0 ? 'nothing of interest' : lacks.join(', ')],
    ...(matrices.length > 0 ? [['  matrices', matrices.join(', ')] as [string, string]] : []),
    ['  limits', limits.join(', ')],
    ['  toggles', togglesText(d.toggles)],
  ];
  return `${d.name}\n${listed(rows)}`;
}

/** Dawn's toggles that it is opened with. */
function togglesText({ enable, disable }: ListedDevice['toggles']): string {
  const words = [...enable.map((name) => `${name} on`), ...disable.map((name) => `${name} off`)];
  return words.length === 0 ? 'none' : words.join(', ');
}
