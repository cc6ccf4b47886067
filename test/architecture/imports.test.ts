// Import arrows point one way (CONTRIBUTING.md has the picture), and what runs in an app needs neither Node nor packages.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import test from 'ava';

interface Import {
  /** As it is written. */
  readonly name: string;
  /** Its source file from the package root; undefined for packages and Node's own modules. */
  readonly file: string | undefined;
  /** `import type`: gone when it runs. */
  readonly typeOnly: boolean;
  /** `import()`: loaded when it is come to. */
  readonly later: boolean;
}

function sourcesIn(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.name === 'node_modules') return [];
    if (entry.isDirectory()) return sourcesIn(path);
    return /\.ts$/.test(entry.name) ? [path] : [];
  });
}

function importsOf(path: string): readonly Import[] {
  const text = readFileSync(path, 'utf8');
  const named = (name: string, typeOnly: boolean, later = false): Import => ({
    name,
    file: name.startsWith('.') ? join(dirname(path), name).replace(/\.js$/, '.ts') : undefined,
    typeOnly,
    later,
  });
  return [
    ...[...text.matchAll(/^(?:import|export)\b(?:\s+(type)\b)?[^'";]*?\bfrom '([^']+)'/gm)].map((m) =>
      named(m[2], m[1] !== undefined),
    ),
    ...[...text.matchAll(/^import '([^']+)'|\bimport\('([^']+)'\)/gm)].map((m) =>
      named(m[1] ?? m[2], false, m[2] !== undefined),
    ),
  ];
}

/** What a folder's files may import, by the start of the path; packages and Node's modules by name. */
const MAY_IMPORT: readonly (readonly [folder: string, ours: readonly string[], others: readonly string[]])[] =
  [
    ['grammar', ['grammar/'], ['chevrotain']],
    ['compiler/ir', ['compiler/ir/'], []],
    ['compiler', ['compiler/', 'grammar/'], []],
    ['runtime/node', ['runtime/'], ['node:', 'webgpu']],
    ['runtime/files/node.ts', ['runtime/'], ['node:']],
    ['runtime/files', ['runtime/'], []],
    ['runtime/stream/node', ['runtime/'], ['node:']],
    ['runtime', ['runtime/', 'compiler/ir/'], []],
    ['cli', ['cli/', 'runtime/', 'compiler/', 'grammar/'], ['node:', 'commander', 'pngjs']],
    ['bench', ['bench/', 'cli/', 'runtime/', 'compiler/', 'grammar/'], ['node:']],
  ];

test('import arrows point one way', (t) => {
  const files = ['grammar', 'compiler', 'runtime', 'cli', 'bench'].flatMap(sourcesIn);
  t.true(files.length > 100);
  for (const file of files) {
    const rule = MAY_IMPORT.find(([folder]) => file === folder || file.startsWith(`${folder}/`));
    if (rule === undefined) {
      t.fail(`${file} has no rule`);
      continue;
    }
    const [folder, ours, others] = rule;
    for (const { name, file: target } of importsOf(file)) {
      const allowed =
        target === undefined
          ? others.some((o) => name === o || (o.endsWith(':') && name.startsWith(o)))
          : ours.some((o) => target.startsWith(o));
      t.true(allowed, `${file} imports ${name}: ${folder} may not`);
    }
  }
});

/** Every source file that is loaded with a module. */
function reachable(from: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(from)) return seen;
  seen.add(from);
  for (const { file, typeOnly } of importsOf(from)) if (file && !typeOnly) reachable(file, seen);
  return seen;
}

test('what a page loads needs neither Node nor packages', (t) => {
  for (const entry of ['index', 'reference/index', 'files/index', 'stream/index'].map(
    (e) => `runtime/${e}.ts`,
  )) {
    const files = [...reachable(entry)];
    const packages = files.flatMap((f) => importsOf(f).filter((i) => !i.typeOnly && i.file === undefined));
    t.deepEqual(
      packages.map((p) => p.name),
      [],
      entry,
    );
  }
  const runtime = [...reachable('runtime/index.ts')];
  t.true(runtime.length > 20);
  // The oracle, the files and the rest of the compiler stay out of the execution bundle.
  t.deepEqual(
    runtime.filter((f) => !/^(runtime\/(?:parts\/|stream\/)?[^/]+|compiler\/ir\/[^/]+)\.ts$/.test(f)),
    [],
  );
});

test('the compiler needs nothing of Node either', (t) => {
  const packages = [...reachable('compiler/index.ts')].flatMap((f) =>
    importsOf(f).filter((i) => !i.typeOnly && i.file === undefined),
  );
  t.deepEqual([...new Set(packages.map((p) => p.name))], ['chevrotain']);
});

/** Every source file that is loaded at once with a module. */
function loadedWith(from: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(from)) return seen;
  seen.add(from);
  for (const { file, typeOnly, later } of importsOf(from))
    if (file && !typeOnly && !later) loadedWith(file, seen);
  return seen;
}

test('MPI is loaded only by what runs on several ranks, and koffi only by that', (t) => {
  for (const entry of ['runtime/node/index.ts', 'cli/main.ts']) {
    const files = [...loadedWith(entry)];
    t.true(files.length > 5, entry);
    t.deepEqual(
      files.filter((f) => f.startsWith('runtime/node/mpi/')),
      [],
      entry,
    );
  }
  // Not even with MPI's own modules: it is required when MPI is started.
  const mpi = [...loadedWith('runtime/node/mpi/index.ts')];
  t.true(mpi.includes('runtime/node/mpi/library.ts'));
  t.deepEqual(
    mpi.flatMap((f) => importsOf(f).filter((i) => i.file === undefined && !i.name.startsWith('node:'))),
    [],
  );
});

test('modules do not import each other in a circle', (t) => {
  const done = new Set<string>();
  const visit = (file: string, above: readonly string[]): void => {
    const at = above.indexOf(file);
    if (at >= 0) {
      t.fail([...above.slice(at), file].join(' → '));
      return;
    }
    if (done.has(file)) return;
    for (const { file: next, typeOnly } of importsOf(file))
      if (next && !typeOnly) visit(next, [...above, file]);
    done.add(file);
  };
  for (const entry of ['cli/main.ts', 'compiler/index.ts', 'runtime/index.ts', 'runtime/node/index.ts'])
    visit(entry, []);
  t.true(done.size > 100);
});
