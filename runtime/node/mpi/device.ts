// Which device each rank takes.
//
// Dawn cannot tell two GPUs of one name apart. So a rank sees the one that it shall take and no other: docs/distributed.md
// says how ranks are started for that. GPUs of different names are dealt out here, by their names.

import { closeSync, constants, openSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { noAdapter } from '../../errors.js';
import { listDevices } from '../list-devices.js';
import type { Communicator } from './communicator.js';
import { ranksText } from './problems.js';

/** What openDevice is to be asked for, and why. */
export interface RankDevice {
  /** A name or a kind; undefined: whatever openDevice takes by itself. */
  readonly device: string | undefined;
  readonly why: string;
  /** Other ranks that see the same GPU and no other: slower than one each, though right. */
  readonly sharedWith: readonly number[];
}

/** What a rank is and sees. */
export interface RankView {
  readonly localRank: number;
  readonly localSize: number;
  /** --device or ATTNC_DEVICE. */
  readonly asked: string | undefined;
  /** The names of the GPUs that it sees; one twice where there are two of it. */
  readonly gpus: readonly string[];
}

const SOFTWARE = ['lavapipe', 'lavapipe26', 'swiftshader', 'null'];

/** The device of this rank; all ranks must call it. `asked` as for openDevice. */
export async function deviceForRank(
  comm: Pick<Communicator, 'rank' | 'localRank' | 'localSize' | 'allGather'>,
  asked: string | undefined = process.env.ATTNC_DEVICE || undefined,
): Promise<RankDevice> {
  const software = asked !== undefined && SOFTWARE.includes(asked);
  const gpus = software ? [] : (await listDevices()).devices.filter(({ kind }) => kind === 'gpu');
  // Gathered before anything is thrown: the others wait for it.
  const seen = { host: hostname(), nodes: gpus.length === 0 ? [] : openGpuNodes() };
  const all = await comm.allGather(new TextEncoder().encode(JSON.stringify(seen)));
  const { device, why } = chooseDevice({ ...comm, asked, gpus: gpus.map(({ name }) => name) });
  const mine = JSON.stringify(seen);
  const sharedWith = [...all.keys()].filter((rank) => {
    return rank !== comm.rank && seen.nodes.length === 1 && new TextDecoder().decode(all[rank]) === mine;
  });
  const shared = sharedWith.length === 0 ? '' : `, shared with ${ranksText(sharedWith)}`;
  return { device, why: `${why}${shared}`, sharedWith };
}

/** The choice, from what is seen. Throws where ranks would all take the same of several GPUs. */
export function chooseDevice({
  localRank,
  localSize,
  asked,
  gpus,
}: RankView): Omit<RankDevice, 'sharedWith'> {
  const part = asked === undefined || asked === 'gpu' ? '' : slug(asked);
  const fitting = gpus.filter((name) => slug(name).includes(part));
  if (fitting.length === 0) {
    return { device: asked, why: asked === undefined ? 'no GPU is seen' : `'${asked}' was asked for` };
  }
  const names = [...new Set(fitting)].sort();
  if (fitting.length === 1 || localSize === 1) {
    return {
      device: names[0],
      why: fitting.length === 1 ? 'the one GPU that is seen' : 'one rank on this host',
    };
  }
  if (names.length < fitting.length) {
    throw noAdapter(
      `a rank sees ${fitting.length} GPUs, and WebGPU cannot tell those of one name apart (${names.join(', ')})`,
      'start the ranks through one-gpu-a-rank.sh (docs/distributed.md), so that each sees one',
    );
  }
  if (localRank >= names.length) {
    throw noAdapter(
      `there are ${localSize} ranks on this host and ${names.length} GPUs (${names.join(', ')})`,
      'start no more ranks on a host than it has GPUs',
    );
  }
  return { device: names[localRank], why: `GPU ${localRank} of ${names.length} by name` };
}

/** As openDevice compares names. */
const slug = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]+/g, '-');

/** The GPUs' device nodes that this process may open: what tells whether two ranks see the same GPU. */
function openGpuNodes(): readonly string[] {
  return (
    [
      ['/dev', /^nvidia\d+$/],
      ['/dev/dri', /^renderD\d+$/],
    ]
      .map(([folder, pattern]) => openIn(folder as string, pattern as RegExp))
      .find((nodes) => nodes.length > 0) ?? []
  );
}

function openIn(folder: string, pattern: RegExp): readonly string[] {
  let names: readonly string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names.filter((name) => pattern.test(name) && opens(join(folder, name))).sort();
}

function opens(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_RDWR));
    return true;
  } catch {
    return false;
  }
}
