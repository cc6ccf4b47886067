import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { packProgram } from '../../compiler/ir/pack.js';
import { tilingLabel } from '../../runtime/choose-tiling.js';
import { trafficNumbers, type DistributedPlan } from '../../runtime/distributed/index.js';
import { shapeText } from '../../runtime/errors.js';
import { named } from '../../runtime/files/node.js';
import type { Picked } from '../../runtime/pick-variant.js';
import { fingerprint, type Facts } from '../../runtime/node/mpi/index.js';
import type { StreamSources } from '../../runtime/stream/plan.js';
import type { RowSource } from '../../runtime/stream/rows.js';
import { bytesOf, type Tensor } from '../../runtime/tensor.js';
import type { Loaded } from '../load.js';
import type { Work } from '../work.js';
import type { DistributedRunOptions } from './options.js';

/** What must be the same on all ranks, in the words of messages. */

/** Options that may differ: where files lie on a host, which device a rank takes, what is printed. */
const OWN = new Set(['input', 'device', 'cache', 'json', 'diagnostics']);

/** Before anything is compiled. */
export function factsOfCommand({ source }: Loaded, options: DistributedRunOptions): Facts {
  const given = Object.entries(options).filter(([name]) => !OWN.has(name));
  return {
    'the pattern file': fingerprint(source.text),
    ...Object.fromEntries(given.map(([name, value]) => [`--${kebab(name)}`, JSON.stringify(value)])),
  };
}

const kebab = (name: string): string => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

/** Before anything is computed. */
export async function factsOfRun(
  { program, bound, bindings }: Work,
  plan: DistributedPlan,
  { variant }: Picked,
  sources: StreamSources,
): Promise<Facts> {
  const { layout, shipping, ahead, input, output, computed, traffic } = plan;
  const { shape, queries, keys, valueDim } = bound.binding;
  const schedule = program.schedules[variant.schedule].name;
  const numbers = trafficNumbers(traffic);
  const tables = Object.entries(bindings.inputs ?? {}).map(([name, given]): [string, string] => {
    const tensor = given as Tensor;
    return [`'${name}'`, `${tensor.dtype} ${shapeText(tensor.shape)} ${fingerprint(bytesOf(tensor))}`];
  });
  return {
    'the program': fingerprint(packProgram(program)),
    'the kernels': `${variant.family}, schedule ${schedule}, ${tilingLabel(variant)}`,
    'the element types': `${input}, ${computed}, ${output}`,
    'the shape': JSON.stringify([
      shape.batch,
      shape.heads,
      shape.keyHeads,
      queries,
      keys,
      shape.dim,
      valueDim,
    ]),
    'the lengths': JSON.stringify([shape.queries, shape.keys]),
    'the parameters': JSON.stringify([...shape.parameters]),
    ...Object.fromEntries(tables),
    q: await identityOf(sources.q),
    k: await identityOf(sources.k),
    v: await identityOf(sources.v),
    'the exchange': fingerprint(new Uint8Array(numbers.buffer)),
    'the layout': JSON.stringify([layout.groups.length, layout.queryRows, layout.keyRows, layout.windowRows]),
    'the messages': JSON.stringify([shipping.messageBytes, shipping.gap, ahead]),
  };
}

/** Pieces of a file that are looked at, spread over it, and bytes of each. */
const PIECES = 16;
const PIECE = 2 ** 16;

/** Rows of files on other hosts: they have another path and another time, but the same length and the same bytes. */
async function identityOf({ identity }: RowSource): Promise<string> {
  switch (identity.kind) {
    case 'random':
      return `made up from seed ${identity.seed}`;
    case 'memory':
      return identity.sum;
    case 'file':
      return `${identity.tensor ?? 'the array'} of ${identity.size} bytes, ${await sampleOf(identity.path, identity.size)}`;
  }
}

/** The header and some of the rest: all of it would be read by every rank. */
async function sampleOf(path: string, size: number): Promise<string> {
  return named(path, async () => {
    const file = await open(path, 'r');
    try {
      const hash = createHash('sha256');
      const buffer = new Uint8Array(PIECE);
      for (let n = 0; n < PIECES; n++) {
        const at = Math.floor((Math.max(0, size - PIECE) * n) / (PIECES - 1));
        const { bytesRead } = await file.read(buffer, 0, PIECE, at);
        hash.update(buffer.subarray(0, bytesRead));
      }
      return hash.digest('hex').slice(0, 8);
    } finally {
      await file.close();
    }
  });
}
