import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
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

/** Makes every write of any file fail as a full disk does, until what it returns is called. */
export async function failWrites(folder: string, code: string): Promise<() => void> {
  const probe = await open(join(folder, 'probe'), 'w');
  const prototype = Object.getPrototypeOf(probe) as Pick<FileHandle, 'write'>;
  await probe.close();
  const { write } = prototype;
  prototype.write = () => Promise.reject(Object.assign(new Error(`${code}: injected`), { code }));
  return () => {
    prototype.write = write;
  };
}
