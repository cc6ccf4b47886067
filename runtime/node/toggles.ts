// Dawn's own switches: which ones a device is opened with, and why.

import { kindOf, MATRIX_FEATURE } from './adapter.js';

/** Names as Dawn spells them; those that it doesn't know it ignores without a word. */
export interface Toggles {
  readonly enable: readonly string[];
  readonly disable: readonly string[];
}

const NVIDIA_F16 = 'vulkan_enable_f16_on_nvidia';
const MATRIX_TOGGLES = ['allow_unsafe_apis', 'use_vulkan_memory_model'];

/**
 * To look at an adapter with, so that it shows all that it has:
 * - vulkan_enable_f16_on_nvidia: without it NVIDIA's driver shows no shader-f16, hence no f16 matrices;
 * - allow_unsafe_apis: shows chromium-experimental-subgroup-matrix, which use_vulkan_memory_model then wants;
 * - timestamp_quantization off: real timestamps, else steps of 65 µs.
 */
export const PROBE_TOGGLES: Toggles = {
  enable: [NVIDIA_F16, ...MATRIX_TOGGLES],
  disable: ['timestamp_quantization'],
};

/** What else is asked for. */
export interface ToggleOptions {
  /** false: loads and stores are not checked against the ends of their buffers, as the kernels stay within them. */
  readonly robustness?: boolean | undefined;
  readonly toggles?: Partial<Toggles> | undefined;
}

/**
 * The toggles to open an adapter with that was looked at with PROBE_TOGGLES: what is experimental only where there is
 * something to be had by it. On software devices also disable_workgroup_init: clearing workgroup memory makes
 * SwiftShader compile our kernels five times as long (4 s instead of 0.8 s each). The kernels set all that they read,
 * so it isn't needed; software devices then test just that.
 */
export function togglesFor(adapter: GPUAdapter, options: ToggleOptions = {}): Toggles {
  const has = (feature: string): boolean => adapter.features.has(feature);
  return {
    enable: [
      ...(adapter.info.vendor === 'nvidia' && has('shader-f16') ? [NVIDIA_F16] : []),
      ...(has(MATRIX_FEATURE) ? MATRIX_TOGGLES : []),
      ...(kindOf(adapter) === 'gpu' ? [] : ['disable_workgroup_init']),
      ...(options.robustness === false ? ['disable_robustness'] : []),
      ...(options.toggles?.enable ?? []),
    ],
    disable: [...(has('timestamp-query') ? PROBE_TOGGLES.disable : []), ...(options.toggles?.disable ?? [])],
  };
}

export function sameToggles(a: Toggles, b: Toggles): boolean {
  return JSON.stringify([a.enable, a.disable]) === JSON.stringify([b.enable, b.disable]);
}
