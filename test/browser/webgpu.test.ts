// WebGPU works in headless Chromium, and the harness tells when a page fails.

import test from 'ava';
import { serve } from './serve.js';
import type { VectorAddResult } from './pages/vector-add.js';
import { browserAvailable, callInPage, NO_BROWSER, withPage } from './with-page.js';

const inBrowser = browserAvailable() === null ? test.skip : test;
const note = browserAvailable() === null ? ` (${NO_BROWSER})` : '';

inBrowser(`a compute shader runs in a page${note}`, async (t) => {
  const result = await withPage((page) =>
    callInPage(page, 'test/browser/pages/vector-add.js', 'addVectors', 100),
  );
  const { adapter, sums } = result as VectorAddResult;
  t.deepEqual(
    sums,
    Array.from({ length: 100 }, (_, i) => 11 * i),
  );
  t.is(adapter, 'swiftshader');
});

inBrowser(`the runtime loads in a page, without Node${note}`, async (t) => {
  const names = await withPage((page) =>
    page.evaluate(async (url) => Object.keys((await import(url)) as object), '/dist/runtime/index.js'),
  );
  t.true(names.length > 0);
});

inBrowser(`what a page throws fails the test${note}`, async (t) => {
  const pages = { '/broken.html': '<!doctype html><script>throw new Error("on purpose")</script>' };
  const failing = withPage((page) => page.title(), { pages, path: '/broken.html' });
  await t.throwsAsync(failing, { message: /on purpose/ });
});

test('the server gives built modules and nothing outside', async (t) => {
  const served = await serve();
  const module = await fetch(`${served.origin}/dist/test/browser/serve.js`);
  t.is(module.status, 200);
  t.regex(module.headers.get('content-type') ?? '', /javascript/);
  for (const path of [
    '/dist/%2e%2e/package.json',
    '/dist/..%2fpackage.json',
    '/package.json',
    '/dist/none.js',
  ]) {
    t.is((await fetch(served.origin + path)).status, 404, path);
  }
  await served.close();
});
