// Where unpacked drivers are kept between runs.

import { homedir, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/** Folders to try, best first: the user's cache, then one of the user's own in the temporary folder. */
export function cacheFolders(): readonly string[] {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return [join(base, 'attnc'), join(tmpdir(), `attnc-${userInfo().uid}`)];
}
