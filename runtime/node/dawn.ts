// Dawn instances: made with the right environment and toggles, and kept alive.

import { createRequire } from 'node:module';
import type { DriverSource } from './drivers.js';

/** Dawn's own switches; unknown names are ignored by Dawn without a word. */
export interface Toggles {
  readonly enable: readonly string[];
  readonly disable: readonly string[];
}

/**
 * - vulkan_enable_f16_on_nvidia: without it NVIDIA's driver shows no shader-f16, hence no f16 matrices;
 * - allow_unsafe_apis: shows chromium-experimental-subgroup-matrix;
 * - use_vulkan_memory_model: subgroup matrices want it;
 * - timestamp_quantization off: real timestamps, else steps of 65 µs.
 */
export const TOGGLES: Toggles = {
  enable: ['vulkan_enable_f16_on_nvidia', 'allow_unsafe_apis', 'use_vulkan_memory_model'],
  disable: ['timestamp_quantization'],
};

/**
 * Clearing workgroup memory makes SwiftShader compile our kernels five times as long (4 s instead of 0.8 s each). The
 * kernels set all that they read, so it isn't needed; software devices then test just that.
 */
export const SOFTWARE_TOGGLES: readonly string[] = ['disable_workgroup_init'];

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

/** An adapter of the source: the one whose name contains `name`, else the fastest. */
export async function requestAdapter(
  source: DriverSource,
  toggles: Toggles,
  powerPreference: GPUPowerPreference,
  name?: string,
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
export async function requestNullAdapter(): Promise<GPUAdapter | null> {
  const source: DriverSource = { name: 'null', manifests: null, loaders: [], software: true };
  const options = ['backend=null', `enable-dawn-features=${TOGGLES.enable.join(',')}`];
  return instanceOf(source, options).requestAdapter();
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
