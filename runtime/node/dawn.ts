// Dawn instances: made with the right environment and toggles, and kept alive.

import { createRequire } from 'node:module';
import type { DriverSource } from './drivers.js';
import { PROBE_TOGGLES, sameToggles, togglesFor, type ToggleOptions, type Toggles } from './toggles.js';

// Node aborts if the object that create() returned is collected before a device of it, and collection knows no
// order. So instances live as long as the process: one for each set of drivers and toggles, not one a device.
const instances = new Map<string, GPU>();

/** The Dawn instance for a driver source and toggles; made on first use. */
function instanceOf(source: DriverSource, options: readonly string[]): GPU {
  const key = JSON.stringify([source.manifests, options]);
  let instance = instances.get(key);
  if (instance === undefined) {
    instance = loadDawn().create([...options]);
    instances.set(key, instance);
  }
  return instance;
}

/** Loaded on first use, so that importing this library on a platform without Dawn's binary doesn't fail. */
function loadDawn(): { create(options: string[]): GPU } {
  return createRequire(import.meta.url)('webgpu') as { create(options: string[]): GPU };
}

function dawnOptions(source: DriverSource, toggles: Toggles): readonly string[] {
  return [
    ...(source.manifests !== null || process.platform === 'linux' ? ['backend=vulkan'] : []),
    ...(toggles.enable.length > 0 ? [`enable-dawn-features=${toggles.enable.join(',')}`] : []),
    ...(toggles.disable.length > 0 ? [`disable-dawn-features=${toggles.disable.join(',')}`] : []),
  ];
}

/** Which adapter of a source, and what to open it with. */
export interface AdapterRequest extends ToggleOptions {
  /** The adapter whose name contains this; without it the best for `powerPreference`. */
  readonly name?: string | undefined;
  readonly powerPreference?: GPUPowerPreference | undefined;
}

/** An adapter, and the toggles that it and its device have. */
export interface FoundAdapter {
  readonly adapter: GPUAdapter;
  readonly toggles: Toggles;
}

/** An adapter of the source, with no more toggles than it needs. */
export async function requestAdapter(
  source: DriverSource,
  request: AdapterRequest = {},
): Promise<FoundAdapter | null> {
  const probe = await adapterWith(source, PROBE_TOGGLES, request);
  if (probe === null) return null;
  const toggles = togglesFor(probe, request);
  const adapter = sameToggles(toggles, PROBE_TOGGLES) ? probe : await adapterWith(source, toggles, request);
  return adapter && { adapter, toggles };
}

async function adapterWith(
  source: DriverSource,
  toggles: Toggles,
  { name, powerPreference = 'high-performance' }: AdapterRequest,
): Promise<GPUAdapter | null> {
  const options = [...dawnOptions(source, toggles), ...(name === undefined ? [] : [`adapter=${name}`])];
  return withDrivers(source, () => instanceOf(source, options).requestAdapter({ powerPreference }));
}

/** The names of a source's adapters. Dawn tells them only to whoever asks for one that isn't there. */
export async function adapterNames(source: DriverSource): Promise<readonly string[]> {
  const options = [...dawnOptions(source, { enable: [], disable: [] }), 'adapter=\u0001'];
  try {
    await withDrivers(source, () => instanceOf(source, options).requestAdapter());
    return [];
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return [...message.matchAll(/^ \* backend: '[^']*', name: '(.*)'$/gm)].map((match) => match[1] ?? '');
  }
}

/** Dawn's null backend: takes any WGSL, runs nothing. */
export async function requestNullAdapter(): Promise<FoundAdapter | null> {
  const source: DriverSource = { name: 'null', manifests: null, loaders: [] };
  const toggles = { enable: PROBE_TOGGLES.enable, disable: [] };
  const options = ['backend=null', `enable-dawn-features=${toggles.enable.join(',')}`];
  const adapter = await instanceOf(source, options).requestAdapter();
  return adapter && { adapter, toggles };
}

/** Runs the synchronous part of `act` (which reads the environment) with VK_DRIVER_FILES set, and restores it. */
function withDrivers<T>(source: DriverSource, act: () => Promise<T>): Promise<T> {
  if (source.manifests === null) return act();
  const before = process.env.VK_DRIVER_FILES;
  process.env.VK_DRIVER_FILES = source.manifests.join(':');
  try {
    return act();
  } finally {
    if (before === undefined) delete process.env.VK_DRIVER_FILES;
    else process.env.VK_DRIVER_FILES = before;
  }
}
