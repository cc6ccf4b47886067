import { ruleConditions } from '../../compiler/ir/evaluate.js';
import { keyNeeds } from '../../compiler/ir/needs.js';
import type { Bound } from '../bind.js';
import { inputsOf } from '../input-uses.js';
import type { FindKeys } from './bands.js';

/** The keys that a bound pattern's queries need, in intervals; all of them where that depends on a table on the device. */
export function neededKeys({ program, binding, inputs }: Bound): FindKeys {
  const { shape } = binding;
  const read = inputsOf(ruleConditions(program.pattern.edges).map((r) => r.when));
  if ([...read].some((name) => inputs.device.has(name))) {
    return (batch) => [{ lo: 0, hi: shape.keys[batch] }];
  }
  const needs = keyNeeds(program.pattern, shape, inputs.host);
  return (batch, [first, end], [lo, hi], gap) => needs.intervals(batch, first, end, lo, hi, gap);
}
