// Headless Chromium with WebGPU on SwiftShader, for tests of the built modules in a browser.

import { existsSync } from 'node:fs';
import { chromium, type Page } from 'playwright-core';
import { serve } from './serve.js';

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome-stable',
  '/usr/bin/google-chrome',
  '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** Why a browser test is skipped, for its title or log. */
export const NO_BROWSER = 'no Chromium found; install it or set CHROMIUM_PATH';

/** The browser to use, or null: CHROMIUM_PATH, else the usual places. */
export function browserAvailable(): string | null {
  const named = process.env.CHROMIUM_PATH;
  if (named) return existsSync(named) ? named : null;
  return PLACES.find((path) => existsSync(path)) ?? null;
}

const FLAGS = [
  '--no-sandbox', // CI runs as root
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-default-apps',
  '--disable-quic',
  '--disable-sync',
  '--no-first-run',
];

export interface PageOptions {
  /** HTML by path, beside the empty page at '/'. */
  readonly pages?: Readonly<Record<string, string>>;
  /** Which one to open. */
  readonly path?: string;
}

/**
 * Opens a page of a local server (the build is at /dist/) and gives it to `body`; browser and server are closed
 * after it. Fails if the page threw or logged an error.
 */
export async function withPage<T>(body: (page: Page) => Promise<T>, options: PageOptions = {}): Promise<T> {
  const executablePath = browserAvailable();
  if (executablePath === null) throw new Error(NO_BROWSER);
  const served = await serve(options.pages);
  try {
    const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS });
    try {
      const page = await browser.newPage();
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(error.message));
      page.on('console', (message) => {
        if (message.type() === 'error') problems.push(message.text());
      });
      await page.goto(served.origin + (options.path ?? '/'));
      const result = await body(page);
      if (problems.length > 0) throw new Error(`in the page: ${problems.join('\n')}`);
      return result;
    } finally {
      await browser.close();
    }
  } finally {
    await served.close();
  }
}

/**
 * Imports a built module in the page and calls one of its functions: arguments and result travel as JSON-like data.
 * `path` is relative to the build: 'test/browser/pages/vector-add.js'.
 */
export async function callInPage(
  page: Page,
  path: string,
  name: string,
  argument?: unknown,
): Promise<unknown> {
  return page.evaluate(
    async ([url, member, value]) => {
      const module = (await import(url)) as Readonly<Record<string, (value: unknown) => unknown>>;
      return module[member]!(value);
    },
    [`/dist/${path}`, name, argument] as const,
  );
}
