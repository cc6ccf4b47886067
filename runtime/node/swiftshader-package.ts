// SwiftShader, a Vulkan driver in software, out of the npm package @sparticuz/chromium (a development
// dependency): unpacked once into a cache folder, so that a machine with no GPU and no system package still
// runs the real WGSL.

import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';
import { cacheFolders } from './cache-folder.js';
import { readTar } from './tar.js';

/** An unpacked driver: the manifest that names it, and a Vulkan loader that can load it. */
export interface UnpackedDriver {
  readonly manifest: string;
  readonly loader: string;
}

const MANIFEST = 'vk_swiftshader_icd.json';
const LOADER = 'libvulkan.so.1';
const WANTED: ReadonlySet<string> = new Set([MANIFEST, LOADER, 'libvk_swiftshader.so']);

/** The package's SwiftShader, unpacked now if it wasn't; a string says why there is none. */
export async function packagedSwiftShader(): Promise<UnpackedDriver | string> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `the packaged SwiftShader is for Linux on x64, this is ${process.platform} on ${process.arch}`;
  }
  const root = packageFolder();
  if (root === null) return 'the package @sparticuz/chromium is not installed';
  const archive = join(root, 'bin', 'swiftshader.tar.br');
  const size = await fileSize(archive);
  if (size === null) return `this version of @sparticuz/chromium has no bin/swiftshader.tar.br`;
  // The size tells versions apart well enough, and costs nothing to read.
  const folderName = `swiftshader-${size}`;

  const failures: string[] = [];
  for (const parent of cacheFolders()) {
    const folder = join(parent, folderName);
    if ((await fileSize(join(folder, MANIFEST))) !== null) return driverIn(folder);
    try {
      await unpack(archive, parent, folder);
      return driverIn(folder);
    } catch (error) {
      failures.push(`${parent}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return `could not unpack SwiftShader (${failures.join('; ')})`;
}

function driverIn(folder: string): UnpackedDriver {
  return { manifest: join(folder, MANIFEST), loader: join(folder, LOADER) };
}

/** Unpacks beside the target and renames: other processes see the whole folder or none of it. */
async function unpack(archive: string, parent: string, folder: string): Promise<void> {
  await mkdir(parent, { recursive: true });
  const fresh = await mkdtemp(join(parent, '.unpacking-'));
  try {
    const tar = await promisify(brotliDecompress)(await readFile(archive));
    const files = readTar(tar).filter((file) => WANTED.has(file.name));
    if (files.length !== WANTED.size) throw new Error(`${archive} lacks one of ${[...WANTED].join(', ')}`);
    for (const file of files) await writeFile(join(fresh, file.name), file.data, { mode: 0o755 });
    await rename(fresh, folder).catch(async (error: unknown) => {
      // Another process was first: its folder is as good as ours.
      if ((await fileSize(join(folder, MANIFEST))) === null) throw error;
    });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

function packageFolder(): string | null {
  const require = createRequire(import.meta.url);
  for (const base of require.resolve.paths('@sparticuz/chromium') ?? []) {
    // By path, not by name: the package's `exports` hide its package.json and its bin folder.
    try {
      return dirname(require.resolve(join(base, '@sparticuz/chromium/package.json')));
    } catch {
      continue;
    }
  }
  return null;
}

async function fileSize(path: string): Promise<number | null> {
  return stat(path).then(
    (found) => found.size,
    () => null,
  );
}
