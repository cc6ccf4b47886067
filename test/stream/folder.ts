import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'attnc-stream-'));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
