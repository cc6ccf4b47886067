// What an adapter says of itself: its kind, its name, and the features and limits that matter here.

import { limitTooSmall } from '../errors.js';
import type { DeviceKind } from './drivers.js';
import { featuresMissing } from './problems.js';

/** Subgroups that multiply matrices together: Chromium's, and not in WebGPU yet. */
export const MATRIX_FEATURE = 'chromium-experimental-subgroup-matrix';

/** Features that some kernel family makes use of, or the timings do. */
export const FEATURES_OF_INTEREST = [
  'shader-f16',
  'subgroups',
  'subgroup-size-control',
  MATRIX_FEATURE,
  'timestamp-query',
] as const;

/** Limits that a program may need above WebGPU's defaults. */
export const LIMITS_OF_INTEREST = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
] as const;

export type LimitOfInterest = (typeof LIMITS_OF_INTEREST)[number];

/** One shape of matrices that subgroups multiply: (m×k)·(k×n). */
export interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** The adapter's information, with the fields that Chromium's extension adds. */
type AdapterInfo = GPUAdapterInfo & { readonly subgroupMatrixConfigs?: Iterable<RawMatrixConfig> };

interface RawMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Told by its names; Dawn calls every CPU driver a fallback adapter, whichever it is. */
export function kindOf(adapter: GPUAdapter): DeviceKind {
  const { vendor, architecture, device, description } = adapter.info;
  const words = `${vendor} ${architecture} ${device} ${description}`.toLowerCase();
  if (words.includes('null-backend')) return 'null';
  if (words.includes('swiftshader')) return 'swiftshader';
  if (words.includes('llvmpipe') || words.includes('lavapipe')) return 'lavapipe';
  return 'gpu';
}

/** A name to print: Dawn gives the device in slug form and the driver in words. */
export function nameOf(adapter: GPUAdapter): string {
  const { device, description } = adapter.info;
  const slug = device.replace(/^-+|-+$/g, '');
  return description === '' ? slug : `${slug} (${description})`;
}

/** The matrix shapes on offer; none where the feature is missing. */
export function matrixConfigsOf(adapter: GPUAdapter): readonly MatrixConfig[] {
  const configs = (adapter.info as AdapterInfo).subgroupMatrixConfigs ?? [];
  return [...configs].map(({ componentType, resultComponentType, M, N, K }) => {
    return { componentType, resultComponentType, m: M, n: N, k: K };
  });
}

/** The features of interest that the adapter has. */
export function offeredFeatures(adapter: GPUAdapter): readonly GPUFeatureName[] {
  const names = FEATURES_OF_INTEREST as readonly string[];
  return names.filter((name) => adapter.features.has(name)) as GPUFeatureName[];
}

/** The limits of interest, as high as they go. */
export function offeredLimits(adapter: GPUAdapter): Readonly<Record<LimitOfInterest, number>> {
  const entries = LIMITS_OF_INTEREST.map((name) => [name, adapter.limits[name]]);
  return Object.fromEntries(entries) as Record<LimitOfInterest, number>;
}

/** Throws the typed error for the first thing needed that the adapter doesn't have. */
export function checkOffer(
  adapter: GPUAdapter,
  features: readonly string[],
  limits: Readonly<Record<string, number>>,
): void {
  const missing = features.filter((name) => !adapter.features.has(name));
  if (missing.length > 0) throw featuresMissing(nameOf(adapter), missing, [...adapter.features]);
  const offers = adapter.limits as unknown as Readonly<Record<string, number | undefined>>;
  for (const [limit, needed] of Object.entries(limits)) {
    const offered = offers[limit] ?? 0;
    const enough = limit.startsWith('min') ? offered <= needed && offered > 0 : offered >= needed;
    if (!enough) throw limitTooSmall(limit, needed, offered);
  }
}
