import type { Bound } from '../bind.js';
import type { NeededKeys } from './bands.js';

/** All keys, whatever the pattern. */
export function neededKeys(bound: Bound): NeededKeys {
  const { shape } = bound.binding;
  return (batch) => [{ lo: 0, hi: shape.keys[batch] }];
}
