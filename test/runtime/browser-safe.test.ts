// What runtime/index.js and what it imports are made of: nothing of Node's, no bare names, nothing of the compiler
// but its leaf.

import { readFileSync } from 'node:fs';
import test from 'ava';

test('the execution path imports its own files only', (t) => {
  const root = new URL('../../', import.meta.url);
  const seen = new Set<string>();
  const visit = (url: URL): void => {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    const text = readFileSync(url, 'utf8');
    t.notRegex(text, /\b(process|Buffer|require|__dirname|globalThis)\b\s*[.(]/, url.href);
    for (const [, name] of text.matchAll(/^(?:import|export)\b[^'"]*?from ['"]([^'"]+)['"]/gm)) {
      t.regex(name, /^\.\.?\//, `${url.href} imports ${name}`);
      const next = new URL(name, url);
      t.regex(next.href.slice(root.href.length), /^(runtime\/(?!node\/|files\/|reference\/)|compiler\/ir\/)/);
      visit(next);
    }
  };
  visit(new URL('runtime/index.js', root));
  t.true(seen.size > 20);
});
