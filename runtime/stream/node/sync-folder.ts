import { open } from 'node:fs/promises';

/** Makes names that were made or changed in a folder survive a crash, where the system can. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch {
    // Some systems don't open folders: their files are as safe as they get.
  }
}
