// Everything that openDevice could take on this machine, with what it offers.

import {
  FEATURES_OF_INTEREST,
  kindOf,
  matrixConfigsOf,
  nameOf,
  offeredFeatures,
  offeredLimits,
  type LimitOfInterest,
  type MatrixConfig,
} from './adapter.js';
import { adapterNames, requestAdapter, requestNullAdapter, type FoundAdapter } from './dawn.js';
import { driverSources, type DeviceKind } from './drivers.js';
import { ready } from './open-device.js';
import type { Toggles } from './toggles.js';

/** An adapter as `attnc devices` shows it. */
export interface ListedDevice {
  readonly source: string;
  readonly kind: DeviceKind;
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  /** The features of interest, and whether it has each. */
  readonly features: Readonly<Record<string, boolean>>;
  /** Smallest and largest subgroup; null without subgroups. */
  readonly subgroupSizes: readonly [least: number, most: number] | null;
  readonly matrixConfigs: readonly MatrixConfig[];
  readonly limits: Readonly<Record<LimitOfInterest, number>>;
  /** Dawn's toggles that openDevice asks for with it. */
  readonly toggles: Toggles;
}

/** Where nothing was found, and why. */
export interface EmptySource {
  readonly source: string;
  readonly reason: string;
}

export interface DeviceList {
  /** In the order in which openDevice looks at them, the null device last. */
  readonly devices: readonly ListedDevice[];
  readonly empty: readonly EmptySource[];
}

/** Looks through all sources; opens no device. */
export async function listDevices(): Promise<DeviceList> {
  const devices: ListedDevice[] = [];
  const empty: EmptySource[] = [];
  for (const lazy of driverSources()) {
    const source = await ready(lazy);
    if (typeof source === 'string') {
      empty.push({ source: lazy.name, reason: source });
      continue;
    }
    const before = devices.length;
    for (const name of await adapterNames(source)) {
      const found = await requestAdapter(source, { name });
      if (found !== null) devices.push(describe(lazy.name, name, found));
    }
    if (devices.length === before) empty.push({ source: lazy.name, reason: 'no adapter that Dawn takes' });
  }
  const none = await requestNullAdapter();
  if (none !== null) devices.push(describe('built in', nameOf(none.adapter), none));
  return { devices, empty };
}

function describe(source: string, name: string, { adapter, toggles }: FoundAdapter): ListedDevice {
  const offered: readonly string[] = offeredFeatures(adapter);
  const { vendor, architecture, subgroupMinSize, subgroupMaxSize } = adapter.info;
  return {
    source,
    kind: kindOf(adapter),
    name,
    vendor,
    architecture,
    features: Object.fromEntries(FEATURES_OF_INTEREST.map((feature) => [feature, offered.includes(feature)])),
    subgroupSizes: offered.includes('subgroups') ? [subgroupMinSize ?? 0, subgroupMaxSize ?? 0] : null,
    matrixConfigs: matrixConfigsOf(adapter),
    limits: offeredLimits(adapter),
    toggles,
  };
}
