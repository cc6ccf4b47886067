import type { MatrixUnit } from '../../compiler/emit/matrix-layout.js';
import { matrixConfigsOf } from '../../runtime/node/adapter.js';
import { opened } from './matrix-device.js';

/** The device's matrices of f16 with f32 sums: ask within a matrixTest only. */
export function unitHere(): MatrixUnit {
  const lanes = opened.adapter.info.subgroupMaxSize ?? 0;
  const found = matrixConfigsOf(opened.adapter).find(
    (c) => c.componentType === 'f16' && c.resultComponentType === 'f32' && c.m === c.k,
  );
  if (!found) throw new Error('no matrices of f16 and f32');
  return { m: found.m, n: found.n, k: found.k, lanes };
}
