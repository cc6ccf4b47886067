import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The nearest folder above that holds our package.json: built files may lie at several depths. */
export function packageRoot(): string {
  for (let at = new URL('./', import.meta.url), n = 0; n < 6; at = new URL('../', at), n++) {
    const file = new URL('package.json', at);
    if (!existsSync(file)) continue;
    if ((JSON.parse(readFileSync(file, 'utf8')) as { name?: string }).name === 'attnc')
      return fileURLToPath(at);
  }
  throw new Error('there is no package.json of attnc above the built files');
}
