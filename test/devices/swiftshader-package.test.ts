// Unpacking the packaged driver: once, whole, by several processes at a time, into a folder that can be written.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { readTar } from '../../runtime/node/tar.js';

const run = promisify(execFile);
const packageModule = new URL('../../runtime/node/swiftshader-package.js', import.meta.url).href;
const nodeIndex = new URL('../../runtime/node/index.js', import.meta.url).href;
const onLinux = process.platform === 'linux' && process.arch === 'x64' ? test : test.skip;

/** Runs a module's text in a fresh process with a cache folder of its own; returns what it printed as JSON. */
async function inProcess(script: string, env: Readonly<Record<string, string>>): Promise<unknown> {
  const args = ['--input-type=module', '--eval', script];
  const { stdout } = await run(process.execPath, args, { env: { ...process.env, ...env }, timeout: 60_000 });
  return JSON.parse(stdout) as unknown;
}

const UNPACK = `
  const { packagedSwiftShader } = await import(${JSON.stringify(packageModule)});
  console.log(JSON.stringify(await packagedSwiftShader()));`;

onLinux(
  'several processes unpack at once; each finds the whole driver, and nothing is left over',
  async (t) => {
    const cache = await mkdtemp(join(tmpdir(), 'attnc-test-'));
    try {
      const env = { XDG_CACHE_HOME: cache };
      const found = await Promise.all([1, 2, 3].map(() => inProcess(UNPACK, env)));
      const [first] = found as [{ manifest: string }];
      t.deepEqual(found, [first, first, first]);
      t.deepEqual((await readdir(join(cache, 'attnc'))).length, 1);
      t.deepEqual((await readdir(dirname(first.manifest))).sort(), [
        'libvk_swiftshader.so',
        'libvulkan.so.1',
        'vk_swiftshader_icd.json',
      ]);
      // And it runs, whatever else is installed.
      const opened = await inProcess(
        `const { openDevice } = await import(${JSON.stringify(nodeIndex)});
       const { kind } = await openDevice({ device: 'swiftshader' });
       console.log(JSON.stringify(kind));`,
        { ...env, VK_DRIVER_FILES: first.manifest },
      );
      t.is(opened, 'swiftshader');
    } finally {
      await rm(cache, { recursive: true });
    }
  },
);

onLinux('a cache folder that cannot be made is passed over', async (t) => {
  const cache = await mkdtemp(join(tmpdir(), 'attnc-test-'));
  try {
    await mkdir(join(cache, 'tmp'));
    await writeFile(join(cache, 'file'), '');
    const env = { XDG_CACHE_HOME: join(cache, 'file'), TMPDIR: join(cache, 'tmp') };
    const found = (await inProcess(UNPACK, env)) as { manifest: string };
    t.true(found.manifest.startsWith(join(cache, 'tmp')), JSON.stringify(found));
  } finally {
    await rm(cache, { recursive: true });
  }
});

test('tar: files are read, other entries passed over, an archive cut short is refused', (t) => {
  const archive = Buffer.concat([
    tarEntry('folder/', '5', ''),
    tarEntry('folder/a.txt', '0', 'hello'),
    tarEntry('b.bin', '0', 'x'.repeat(600)),
    Buffer.alloc(1024),
  ]);
  const files = readTar(archive).map(({ name, data }) => [name, Buffer.from(data).toString()]);
  t.deepEqual(files, [
    ['folder/a.txt', 'hello'],
    ['b.bin', 'x'.repeat(600)],
  ]);
  t.throws(() => readTar(archive.subarray(0, 512 * 3 + 512 + 100)), { instanceOf: RangeError });
});

function tarEntry(name: string, kind: string, content: string): Buffer {
  const entry = Buffer.alloc(512 + Math.ceil(content.length / 512) * 512);
  entry.write(name, 0);
  entry.write(content.length.toString(8).padStart(11, '0'), 124);
  entry.write(kind, 156);
  entry.write('ustar', 257);
  entry.write(content, 512);
  return entry;
}
