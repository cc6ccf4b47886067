// The results of other programs in test/data/reference, and the patterns that reproduce them.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensors } from '../../runtime/files/index.js';
import type { HostTensors, Inputs } from '../../runtime/index.js';
import { toFloat32 } from '../../runtime/tensor.js';

export interface ReferenceFile {
  readonly name: string;
  /** A file of samples/ and a pattern in it, or a text. */
  readonly source: { readonly sample: string; readonly pattern: string } | { readonly text: string };
  readonly set?: Readonly<Record<string, number | readonly number[]>>;
}

export const REFERENCE_FILES: readonly ReferenceFile[] = [
  { name: 'causal_gqa', source: { sample: 'dense', pattern: 'causal' } },
  { name: 'sliding16', source: { sample: 'sliding', pattern: 'sliding' }, set: { window: 16 } },
  {
    name: 'longformer8',
    source: { text: 'pattern p { input g: bool[tokens] i -> j when abs(i - j) <= 8 or g[i] or g[j] }' },
  },
  { name: 'documents_causal', source: { sample: 'documents', pattern: 'documents_causal' } },
  { name: 'alibi_softcap20_causal', source: { sample: 'alibi', pattern: 'alibi_softcap' } },
  { name: 'decode_1_300', source: { sample: 'dense', pattern: 'causal' } },
  { name: 'decode_17_129', source: { sample: 'dense', pattern: 'causal' } },
  {
    name: 'longnet',
    source: { sample: 'longnet', pattern: 'longnet_torchscale' },
    set: { w: [64, 128, 256, 512], r: [1, 2, 4, 8] },
  },
  {
    name: 'longnet_causal',
    source: { sample: 'longnet', pattern: 'longnet_torchscale_causal' },
    set: { w: [64, 128, 256], r: [1, 2, 4] },
  },
  { name: 'karate_club', source: { sample: 'graph', pattern: 'graph' } },
];

export function sourceOf(file: ReferenceFile): { readonly file: string; readonly text: string } {
  if ('text' in file.source) return { file: `${file.name}.attn`, text: file.source.text };
  const path = `samples/${file.source.sample}.attn`;
  return { file: path, text: readFileSync(path, 'utf8') };
}

/** Imports of samples. */
export function resolve(path: string, from: string): { file: string; text: string } | undefined {
  const file = join(from, '..', path);
  return { file, text: readFileSync(file, 'utf8') };
}

export interface LoadedReference {
  readonly tensors: HostTensors;
  readonly out: Float32Array;
  readonly lse: Float32Array;
}

export function loadReference(name: string): LoadedReference {
  const { tensors } = readSafetensors(readFileSync(`test/data/reference/${name}.safetensors`));
  const { q, k, v, out, lse, ...inputs } = Object.fromEntries(tensors);
  return { tensors: { q, k, v, inputs: inputs as Inputs }, out: toFloat32(out), lse: toFloat32(lse) };
}
