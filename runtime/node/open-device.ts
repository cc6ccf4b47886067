// Choosing a device in Node, and opening it.

import { describeAdapter } from '../adapters.js';
import { checkOffer, kindOf, MATRIX_FEATURE, nameOf, offeredFeatures, offeredLimits } from './adapter.js';
import { requestAdapter, adapterNames, requestNullAdapter, type FoundAdapter } from './dawn.js';
import {
  driverSources,
  spareLoaders,
  type DeviceKind,
  type DriverSource,
  type LazySource,
} from './drivers.js';
import { deviceRefused, describeCandidates, noDevice, type Candidate } from './problems.js';
import type { ToggleOptions, Toggles } from './toggles.js';
import { ensureVulkanLoader } from './vulkan-loader.js';

/** What a device must have, and which one to take. */
export interface OpenOptions extends ToggleOptions {
  /**
   * 'gpu', 'lavapipe', 'swiftshader', 'null', 'lavapipe26' (one with subgroup matrices), or part of an adapter's
   * name. Without it the environment's ATTNC_DEVICE; without that the first of: a real GPU, installed software
   * Vulkan, the packaged SwiftShader.
   */
  readonly device?: string | undefined;
  /** Features that must be there; 'offered': all those that kernels make use of and the adapter has. */
  readonly features?: readonly string[] | 'offered' | undefined;
  /** Limits that must be met; 'offered': those of interest as high as the adapter goes. */
  readonly limits?: Readonly<Record<string, number>> | 'offered' | undefined;
  readonly powerPreference?: GPUPowerPreference | undefined;
  /** Told of errors that nothing else caught and of a loss not asked for; by default a Node warning. */
  readonly onProblem?: ((message: string) => void) | undefined;
}

/** An open device. Call close() when done; a process that forgets still exits by itself. */
export interface OpenedDevice {
  readonly device: GPUDevice;
  readonly adapter: GPUAdapter;
  readonly name: string;
  readonly kind: DeviceKind;
  /** Which candidates were looked at, and why this one was taken. */
  readonly why: string;
  /** Dawn's toggles that were asked for. */
  readonly toggles: Toggles;
  /** Destroys the device and all that was made on it. May be called twice. */
  close(): void;
}

/** Opens the best device there is, or the one asked for; fails with a typed error that lists the candidates. */
export async function openDevice(options: OpenOptions = {}): Promise<OpenedDevice> {
  const asked = options.device || process.env.ATTNC_DEVICE || undefined;
  const { adapter, toggles, why } = await chooseAdapter(asked, options);
  const features = options.features === 'offered' ? offeredFeatures(adapter) : (options.features ?? []);
  const limits = options.limits === 'offered' ? offeredLimits(adapter) : (options.limits ?? {});
  checkOffer(adapter, features, limits);

  const name = nameOf(adapter);
  const descriptor = { requiredFeatures: features as GPUFeatureName[], requiredLimits: { ...limits } };
  const device = await adapter
    .requestDevice({ ...descriptor, label: `attnc ${name}` })
    .catch((cause: unknown) => {
      throw deviceRefused(name, cause);
    });
  describeAdapter(device, adapter.info);
  watch(device, name, options.onProblem ?? warn);
  return { device, adapter, name, kind: kindOf(adapter), why, toggles, close: () => device.destroy() };
}

interface Choice extends FoundAdapter {
  readonly why: string;
}

/** What an adapter must be to be taken. */
interface Wanted {
  readonly kind?: DeviceKind;
  readonly feature?: string;
  /** Of its name. */
  readonly part?: string;
}

const NOTHING = 'no adapter that Dawn takes';
const KINDS: readonly DeviceKind[] = ['gpu', 'lavapipe', 'swiftshader', 'null'];

/** What a device's name asks for. Mesa 26 runs only where its libraries do: see `.ci/with-lavapipe26`. */
function wantedBy(asked: string | undefined): Wanted {
  if (asked === undefined) return {};
  if (asked === 'lavapipe26') return { kind: 'lavapipe', feature: MATRIX_FEATURE };
  const kind = KINDS.find((each) => each === asked);
  return kind === undefined ? { part: asked } : { kind };
}

async function chooseAdapter(asked: string | undefined, options: OpenOptions): Promise<Choice> {
  const seen: Candidate[] = [];
  if (asked === 'null') {
    const found = await requestNullAdapter();
    if (found !== null) return { ...found, why: 'null was asked for: it checks WGSL and runs nothing' };
  }
  const wanted = wantedBy(asked);
  for (const lazy of driverSources()) {
    if (wanted.kind !== undefined && !lazy.kinds.includes(wanted.kind)) continue;
    const source = await ready(lazy);
    if (typeof source === 'string') {
      seen.push({ source: lazy.name, found: source });
      continue;
    }
    const found = await adapterIn(source, wanted, options, seen);
    if (found === null) continue;
    const reason = asked === undefined ? 'first usable one' : `'${asked}' was asked for`;
    seen.push({ source: lazy.name, found: `${nameOf(found.adapter)}, taken (${reason})` });
    return { ...found, why: describeCandidates(seen) };
  }
  throw noDevice(asked, seen);
}

/** The adapter of one source that fits; what doesn't fit is noted in `seen`. */
async function adapterIn(
  source: DriverSource,
  wanted: Wanted,
  options: OpenOptions,
  seen: Candidate[],
): Promise<FoundAdapter | null> {
  if (wanted.part === undefined) {
    const first = await requestAdapter(source, options);
    if (first === null) seen.push({ source: source.name, found: NOTHING });
    if (first === null || fits(first.adapter, wanted)) return first;
  }
  // Not the first one: look through all that the source has.
  const names = await adapterNames(source);
  if (names.length === 0) seen.push({ source: source.name, found: NOTHING });
  for (const name of names) {
    const named = wanted.part === undefined || slug(name).includes(slug(wanted.part));
    const found = named ? await requestAdapter(source, { ...options, name }) : null;
    if (found !== null && fits(found.adapter, wanted)) return found;
    seen.push({ source: source.name, found: name });
  }
  return null;
}

function fits(adapter: GPUAdapter, { kind, feature }: Wanted): boolean {
  return (
    (kind === undefined || kindOf(adapter) === kind) &&
    (feature === undefined || adapter.features.has(feature))
  );
}

/** Dawn's listing has 'NVIDIA H100', its adapter information 'nvidia-h100': either may be asked for. */
function slug(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, '-');
}

/** A source whose drivers can be loaded into this process, or why not. */
export async function ready(lazy: LazySource): Promise<DriverSource | string> {
  const source = await lazy.get();
  if (typeof source === 'string') return source;
  const loads = ensureVulkanLoader(source.loaders) || ensureVulkanLoader(await spareLoaders());
  return loads ? source : 'there is no Vulkan loader (libvulkan.so.1)';
}

/** Errors that nobody scoped, and the loss of the device, reach `tell`; neither ends the process. */
function watch(device: GPUDevice, name: string, tell: (message: string) => void): void {
  device.addEventListener('uncapturederror', (event) => {
    event.preventDefault(); // else Dawn prints it as well
    tell(`${name}: ${event.error.message}`);
  });
  void device.lost.then((info) => {
    if (info.reason !== 'destroyed') tell(`${name} was lost: ${info.message}`);
  });
}

function warn(message: string): void {
  process.emitWarning(message, 'AttncDeviceWarning');
}
