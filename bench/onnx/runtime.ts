import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** onnxruntime-node, which is no dependency of ours: `npm ci --prefix bench/peers` installs it beside the comparison. */

export interface OnnxTensor {
  readonly data: Float32Array | Uint16Array | Float16Like;
}

/** Newer engines give f16 results as Float16Array, which converts by itself. */
type Float16Like = ArrayLike<number> & { readonly BYTES_PER_ELEMENT: number; readonly buffer: ArrayBuffer };

export interface OnnxSession {
  run(feeds: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, OnnxTensor>>>;
  release(): Promise<void>;
}

export interface OnnxRuntime {
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => unknown;
  readonly InferenceSession: {
    create(model: Uint8Array, options: Readonly<Record<string, unknown>>): Promise<OnnxSession>;
  };
}

/** The package and its version; throws with one line of advice where it isn't there. */
export function loadOnnx(root: string): { readonly runtime: OnnxRuntime; readonly version: string } {
  const folder = join(root, 'bench/peers');
  const archive = join(folder, 'onnxruntime.tar.xz');
  if (!existsSync(join(folder, 'node_modules/onnxruntime-node')) && existsSync(archive)) {
    execFileSync('tar', ['xJf', archive, '-C', folder]);
  }
  const require = createRequire(join(folder, 'package.json'));
  try {
    const { version } = require('onnxruntime-node/package.json') as { version: string };
    return { runtime: require('onnxruntime-node') as OnnxRuntime, version };
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new Error(`onnxruntime-node cannot be loaded (npm ci --prefix bench/peers installs it): ${why}`);
  }
}
