import type { Program } from '../compiler/ir/program.js';
import { bindInputs, type InputBinding } from './bind-inputs.js';
import { bindShape, type ShapeBinding, type TensorShapes } from './bind-shape.js';
import type { Settings } from './bindings.js';
import { checkBinding } from './check-binding.js';
import { AttncError } from './errors.js';
import { inputsOf } from './input-uses.js';

/**
 * A program bound to shapes, lengths, parameters and inputs: all checked, nothing on the
 * device yet. The pattern's own checks decide how long is too long; `Program.maxLength` only foretells it.
 */
export interface Bound {
  readonly program: Program;
  readonly binding: ShapeBinding;
  readonly inputs: InputBinding;
}

export function bind(program: Program, shapes: TensorShapes, settings: Settings): Bound {
  const binding = bindShape(program.pattern, shapes, settings, program);
  const inputs = bindInputs(program.pattern, binding, settings.inputs);
  requireHost(
    inputs,
    inputsOf(program.pattern.checks.map((c) => c.expr)),
    'the pattern computes with its values, which must be checked',
  );
  checkBinding(program.pattern, binding.shape, inputs.host);
  return { program, binding, inputs };
}

/** Fails where a table that the host must read is in a GPU buffer. */
export function requireHost(inputs: InputBinding, names: ReadonlySet<string>, why: string): void {
  for (const name of names) {
    if (!inputs.device.has(name)) continue;
    throw new AttncError('wrong-type', `the table '${name}' must be on the host: ${why}`, {
      help: 'pass an array instead of a GPU buffer',
      details: { name },
    });
  }
}
