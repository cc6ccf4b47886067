import { packProgram } from '../../compiler/ir/pack.js';
import type { StorageType } from '../../compiler/ir/program.js';
import { tilingLabel } from '../../runtime/choose-tiling.js';
import type { Picked } from '../../runtime/pick-variant.js';
import type { OpenedDevice } from '../../runtime/node/index.js';
import { hashBytes, hashText, type RunIdentity } from '../../runtime/stream/journal.js';
import type { StreamSources } from '../../runtime/stream/plan.js';
import { bytesOf, type Tensor } from '../../runtime/tensor.js';
import type { Work } from '../work.js';

/** What must be the same when a run goes on, from what the run is made of. */
export async function identityOf(
  { program, bound, bindings }: Work,
  { name, adapter }: Pick<OpenedDevice, 'name' | 'adapter'>,
  { variant }: Picked,
  { q, k, v }: StreamSources,
  output: StorageType,
): Promise<RunIdentity> {
  const tables: Record<string, string> = {};
  for (const [input, tensor] of Object.entries(bindings.inputs ?? {}))
    tables[input] = await hashOf(tensor as Tensor);
  const schedule = program.schedules[variant.schedule].name;
  return {
    program: await hashText(packProgram(program)),
    variant: [variant.family, `schedule ${schedule}`, tilingLabel(variant)]
      .filter((s) => s !== '')
      .join(', '),
    device: { name, driver: adapter.info.description },
    storage: { input: q.dtype, output },
    shapes: { q: q.shape, k: k.shape, v: v.shape },
    lengths: bindings.lengths,
    parameters: Object.fromEntries(bound.binding.shape.parameters),
    tables,
    sources: { q: q.identity, k: k.identity, v: v.identity },
  };
}

const hashOf = async (t: Tensor): Promise<string> =>
  `${t.dtype} [${t.shape.join(', ')}] ${await hashBytes(bytesOf(t))}`;
