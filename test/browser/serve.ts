// A small static server on 127.0.0.1 for browser tests: the built modules, and pages given as text.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Served {
  /** http://127.0.0.1:PORT, a secure context, which WebGPU asks for. */
  readonly origin: string;
  close(): Promise<void>;
}

/** The folder that holds the compiled modules: this file is test/browser/serve.js in it. */
const BUILT = fileURLToPath(new URL('../../', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
};

const EMPTY_PAGE = '<!doctype html><meta charset="utf-8"><title>attnc</title><link rel="icon" href="data:,">';

/** Serves the build at /dist/, an empty page at /, and `pages` (path to HTML) beside it. */
export async function serve(pages: Readonly<Record<string, string>> = {}): Promise<Served> {
  const texts: Readonly<Record<string, string>> = { '/': EMPTY_PAGE, ...pages };
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
    const answer = (status: number, type: string, body: string | Uint8Array): void => {
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
      response.end(body);
    };
    const text = texts[path];
    if (text !== undefined) return answer(200, TYPES['.html']!, text);
    const file = builtFile(path);
    const type = file === null ? undefined : TYPES[extname(file)];
    if (file === null || type === undefined) return answer(404, 'text/plain', `no ${path}`);
    readFile(file).then(
      (body) => answer(200, type, body),
      () => answer(404, 'text/plain', `no ${path}`),
    );
  });
  await new Promise<void>((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

/** The file under the build that /dist/… names; null for anything outside. */
function builtFile(path: string): string | null {
  if (!path.startsWith('/dist/')) return null;
  const file = normalize(join(BUILT, path.slice('/dist/'.length)));
  return file.startsWith(BUILT.endsWith(sep) ? BUILT : BUILT + sep) ? file : null;
}
