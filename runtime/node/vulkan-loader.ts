// Getting a Vulkan loader (libvulkan.so.1) into the process before Dawn asks for it by name.
//
// Dawn calls dlopen("libvulkan.so.1"), which looks into the system's folders only, and a change of
// LD_LIBRARY_PATH inside a running process has no effect. But a library that is already loaded is found by its
// soname, wherever it lies. So a loader that isn't installed is opened by its whole path first. Any loader loads
// any driver; it reads VK_DRIVER_FILES each time an instance is made.

import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';

// process.dlopen closes what turns out to be no addon; this flag of the dynamic linker (glibc, musl) keeps it.
const RTLD_NODELETE = 0x1000;

/**
 * Loads the system's Vulkan loader, or else the first of `others` (whole paths) that there is.
 * Returns whether one is loaded now. Does nothing off Linux, where no loader is needed.
 */
export function ensureVulkanLoader(others: readonly string[]): boolean {
  if (process.platform !== 'linux' || loaded()) return true;
  open('libvulkan.so.1');
  for (const path of others) {
    if (loaded()) break;
    if (existsSync(path)) open(path);
  }
  return loaded();
}

function open(library: string): void {
  try {
    const flags = constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL | RTLD_NODELETE;
    process.dlopen({ exports: {} }, library, flags);
  } catch {
    // Always thrown: either the file isn't there, or it is no Node addon. loaded() tells which.
  }
}

function loaded(): boolean {
  return readFileSync('/proc/self/maps', 'latin1').includes('/libvulkan.so');
}
