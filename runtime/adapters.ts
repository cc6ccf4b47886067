import type { MatrixNeeds } from '../compiler/ir/program.js';

/** What only the adapter knows of a device: its subgroups and their matrices. */

/** The part of `adapter.info` that counts. */
export interface AdapterFacts {
  readonly vendor: string;
  readonly subgroupMinSize?: number | undefined;
  readonly subgroupMaxSize?: number | undefined;
  readonly subgroupMatrixConfigs?: Iterable<MatrixConfiguration> | undefined;
}

export interface MatrixConfiguration {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

const known = new WeakMap<GPUDevice, AdapterFacts>();

/**
 * Tells the runtime which adapter a device came from; without it no kernel with subgroup matrices runs. `openDevice`
 * does it by itself; where an app makes its own device: `describeAdapter(device, adapter.info)`.
 */
export function describeAdapter(device: GPUDevice, info: GPUAdapterInfo): void {
  known.set(device, info as GPUAdapterInfo & AdapterFacts);
}

/** Vendors whose subgroups run in lockstep as `MatrixNeeds.lockstep` says: where it was measured, none else. */
const LOCKSTEP = ['nvidia'];

/** Why the device's matrices don't serve; undefined if they do. */
export function matrixProblem(device: GPUDevice, needs: MatrixNeeds): string | undefined {
  const facts = known.get(device);
  if (facts === undefined) return 'the adapter is not known (describeAdapter)';
  const { m, n, k, lanes, scoreColumns, lockstep } = needs;
  if (facts.subgroupMinSize !== lanes || facts.subgroupMaxSize !== lanes)
    return `subgroups are of ${facts.subgroupMinSize} to ${facts.subgroupMaxSize}, not of ${lanes}`;
  if (lockstep && !LOCKSTEP.includes(facts.vendor)) return 'its subgroups are not known to run in lockstep';
  const configurations = [...(facts.subgroupMatrixConfigs ?? [])].filter(
    (c) => c.componentType === 'f16' && c.resultComponentType === 'f32' && c.M === m && c.K === k,
  );
  const missing = [n, scoreColumns].find((columns) => !configurations.some((c) => c.N === columns));
  return missing === undefined ? undefined : `there are no matrices of ${m} x ${missing} x ${k}, f16 to f32`;
}
