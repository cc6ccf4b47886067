// Where devices can come from on this machine, best first.

import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { cacheFolders } from './cache-folder.js';
import { packagedSwiftShader } from './swiftshader-package.js';

/** A set of Vulkan drivers to try together; off Linux the one source is the platform's own graphics API. */
export interface DriverSource {
  readonly name: string;
  /** Manifests (ICD JSON files) for VK_DRIVER_FILES; null leaves the environment as it is. */
  readonly manifests: readonly string[] | null;
  /** Vulkan loaders that came with the drivers, whole paths. */
  readonly loaders: readonly string[];
}

/** A source that may be costly to get at (unpacking), or may turn out not to be there. */
export interface LazySource {
  readonly name: string;
  /** What it can hold, so that a forced choice skips the others. */
  readonly kinds: readonly DeviceKind[];
  /** The source, or why there is none. */
  readonly get: () => Promise<DriverSource | string>;
}

export type DeviceKind = 'gpu' | 'lavapipe' | 'swiftshader' | 'null';

const CHROMIUM_FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'];
const SWIFTSHADER_MANIFEST = 'vk_swiftshader_icd.json';

/** Everything to look at, in the order of preference: installed drivers, then software ones kept beside. */
export function driverSources(): readonly LazySource[] {
  if (process.platform !== 'linux') {
    return [
      {
        name: 'system',
        kinds: ['gpu'],
        get: async () => ({ name: 'system', manifests: null, loaders: [] }),
      },
    ];
  }
  return [
    { name: 'system', kinds: ['gpu', 'lavapipe', 'swiftshader'], get: async () => systemDrivers() },
    { name: 'lavapipe folder', kinds: ['lavapipe'], get: async () => lavapipeFolder() },
    { name: 'Chromium', kinds: ['swiftshader'], get: async () => chromiumDrivers() },
    { name: 'npm package', kinds: ['swiftshader'], get: packagedDrivers },
  ];
}

/** Loaders to fall back on where the system has none; the packaged one is unpacked only if it comes to that. */
export async function spareLoaders(): Promise<readonly string[]> {
  const beside = CHROMIUM_FOLDERS.map((folder) => join(folder, 'libvulkan.so.1')).filter((path) =>
    existsSync(path),
  );
  if (beside.length > 0) return beside;
  const packaged = await packagedSwiftShader();
  return typeof packaged === 'string' ? [] : [packaged.loader];
}

/** What the environment names, else all manifests in the folders where the Vulkan loader would look, and a few more. */
function systemDrivers(): DriverSource | string {
  const env = process.env;
  if (env.VK_DRIVER_FILES || env.VK_ICD_FILENAMES) return { name: 'system', manifests: null, loaders: [] };
  const home = homedir();
  const bases = [
    env.XDG_CONFIG_HOME || join(home, '.config'),
    ...(env.XDG_CONFIG_DIRS || '/etc/xdg').split(':'),
    '/etc',
    '/usr/local/etc',
    env.XDG_DATA_HOME || join(home, '.local/share'),
    ...(env.XDG_DATA_DIRS || '/usr/local/share:/usr/share').split(':'),
    '/usr/local/nvidia/share', // where container runtimes mount NVIDIA's driver, outside the loader's search
  ];
  const folders = [...new Set(bases.map((base) => join(base, 'vulkan/icd.d')))];
  // A driver that is mounted twice counts once, or its GPUs would show twice.
  const byName = new Map(
    folders
      .flatMap(manifestsIn)
      .map((path) => [basename(path), path] as const)
      .reverse(),
  );
  const manifests = [...byName.values()].reverse();
  if (manifests.length === 0) return 'no Vulkan driver is installed';
  return usable({ name: 'system', manifests, loaders: [] });
}

/** Mesa's lavapipe, unpacked beside (in a checkout .ci/lavapipe does it). */
function lavapipeFolder(): DriverSource | string {
  const folders = cacheFolders().map((folder) => join(folder, 'lavapipe'));
  const manifests = folders
    .map((folder) => join(folder, 'lavapipe_icd.json'))
    .filter((path) => existsSync(path));
  if (manifests.length === 0) return `not there (${folders[0]})`;
  const loader = join(dirname(manifests[0]!), 'lib/libvulkan.so.1');
  return usable({
    name: 'lavapipe folder',
    manifests: manifests.slice(0, 1),
    loaders: [loader],
  });
}

function chromiumDrivers(): DriverSource | string {
  const folder = CHROMIUM_FOLDERS.find((path) => existsSync(join(path, SWIFTSHADER_MANIFEST)));
  if (folder === undefined) return 'not installed';
  const manifests = [join(folder, SWIFTSHADER_MANIFEST)];
  return usable({ name: 'Chromium', manifests, loaders: [join(folder, 'libvulkan.so.1')] });
}

async function packagedDrivers(): Promise<DriverSource | string> {
  const packaged = await packagedSwiftShader();
  if (typeof packaged === 'string') return packaged;
  return usable({
    name: 'npm package',
    manifests: [packaged.manifest],
    loaders: [packaged.loader],
  });
}

/** A worker's process.env is a copy that the Vulkan loader doesn't see, so no driver can be chosen there. */
function usable(source: DriverSource): DriverSource | string {
  if (isMainThread) return source;
  return 'a worker thread cannot choose a driver; set VK_DRIVER_FILES before Node starts';
}

function manifestsIn(folder: string): readonly string[] {
  try {
    const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
    return names.sort().map((name) => join(folder, name));
  } catch {
    return [];
  }
}
