/**
 * Every way in which binding, running, files and the command line can fail, as one typed error.
 * ATTN40xx: the device. ATTN41xx: what is bound to a program. ATTN42xx: several ranks.
 * ATTN5xxx: files and usage.
 * (ATTN1xxx to 3xxx are diagnostics of the compiler: grammar/diagnostics.ts.)
 */
export const errorTable = {
  'no-adapter': { code: 'ATTN4001', title: 'no usable GPU' },
  'missing-feature': { code: 'ATTN4002', title: 'the device lacks a feature' },
  'limit-too-small': { code: 'ATTN4003', title: 'a limit of the device is too small' },
  'device-lost': { code: 'ATTN4004', title: 'the device was lost' },
  'out-of-memory': { code: 'ATTN4005', title: 'out of memory' },
  'wrong-result': { code: 'ATTN4006', title: 'the result is wrong' },
  internal: { code: 'ATTN4099', title: 'a bug in attnc' },
  'wrong-shape': { code: 'ATTN4101', title: 'wrong shape' },
  'wrong-type': { code: 'ATTN4102', title: 'wrong element type' },
  'missing-input': { code: 'ATTN4103', title: 'missing input' },
  'unknown-input': { code: 'ATTN4104', title: 'unknown input' },
  'non-finite': { code: 'ATTN4105', title: 'value that is not finite' },
  'malformed-graph': { code: 'ATTN4106', title: 'malformed graph' },
  'value-out-of-range': { code: 'ATTN4107', title: 'value out of range' },
  'length-out-of-range': { code: 'ATTN4108', title: 'length out of range' },
  'parameter-out-of-range': { code: 'ATTN4109', title: 'parameter out of range' },
  'dense-budget': { code: 'ATTN4110', title: 'would test all pairs' },
  'no-mpi': { code: 'ATTN4201', title: 'MPI cannot be used' },
  'mpi-failed': { code: 'ATTN4202', title: 'MPI failed' },
  'ranks-differ': { code: 'ATTN4203', title: 'the ranks were given unlike things' },
  'broken-file': { code: 'ATTN5001', title: 'broken file' },
  'unsupported-file': { code: 'ATTN5002', title: 'unsupported file' },
  'file-access': { code: 'ATTN5003', title: 'file cannot be opened' },
  usage: { code: 'ATTN5004', title: 'wrong usage' },
  'file-changed': { code: 'ATTN5005', title: 'file changed during the run' },
  'cannot-resume': { code: 'ATTN5006', title: 'run that cannot be resumed' },
  'unfinished-run': { code: 'ATTN5007', title: 'run that was begun and not finished' },
} as const;

export type ErrorKind = keyof typeof errorTable;

export interface ErrorExtra {
  /** What to do, as a clause without a full stop. */
  readonly help?: string | undefined;
  /** The facts behind the message, for programs. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** `message` is one whole line, "problem; help"; `problem` and `help` are its parts. */
export class AttncError extends Error {
  override readonly name = 'AttncError';
  readonly kind: ErrorKind;
  readonly code: string;
  readonly problem: string;
  readonly help: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(kind: ErrorKind, problem: string, extra: ErrorExtra = {}) {
    const line = oneLine(problem);
    const help = extra.help === undefined ? undefined : oneLine(extra.help);
    super(
      help === undefined ? line : `${line}; ${help}`,
      extra.cause === undefined ? undefined : { cause: extra.cause },
    );
    this.kind = kind;
    this.code = errorTable[kind].code;
    this.problem = line;
    this.help = help;
    this.details = extra.details ?? {};
  }
}

/** True for an error of ours, of the kind asked for if one is given. */
export function isAttncError(error: unknown, kind?: ErrorKind): error is AttncError {
  return error instanceof AttncError && (kind === undefined || error.kind === kind);
}

/** A name from outside, quoted and short enough for a line. */
export function quoted(name: string): string {
  const clipped = name.length > 80 ? `${name.slice(0, 77)}...` : name;
  return `'${clipped}'`;
}

/** A shape as messages show it: [2, 8, 128, 64]. */
export function shapeText(shape: readonly (number | string)[]): string {
  const shown = shape.length > 8 ? [...shape.slice(0, 8), '...'] : shape;
  return `[${shown.join(', ')}]`;
}

/** Control characters (a file's names may hold any) would break the line or the terminal. */
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (c) => {
    return `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

// ---- the device ----

export function noAdapter(why: string, help?: string): AttncError {
  return new AttncError('no-adapter', `no usable WebGPU device: ${why}`, {
    help: help ?? 'run `attnc devices` to see what there is',
    details: { why },
  });
}

export function missingFeature(feature: string, offered: readonly string[]): AttncError {
  return new AttncError('missing-feature', `the device does not have the feature ${quoted(feature)}`, {
    help: 'compile for a target without it (--target portable) or create the device with it',
    details: { feature, offered },
  });
}

export function limitTooSmall(limit: string, needed: number, offered: number, help?: string): AttncError {
  return new AttncError('limit-too-small', `${limit} must be at least ${needed}; the device has ${offered}`, {
    help: help ?? 'ask for the limit when the device is made, or use smaller tensors',
    details: { limit, needed, offered },
  });
}

export function deviceLost(reason: string, message: string): AttncError {
  return new AttncError('device-lost', `the device was lost (${reason || 'unknown'}): ${message}`, {
    help: 'make a new device and prepare the program on it again',
    details: { reason, message },
  });
}

/** `bytes` is undefined where the size that failed is not known. */
export function outOfMemory(what: string, bytes: number | undefined, cause?: unknown): AttncError {
  const size = bytes === undefined ? '' : ` (${bytes} bytes)`;
  return new AttncError('out-of-memory', `not enough memory for ${what}${size}`, {
    help: 'use smaller tensors, or fewer at a time',
    details: { what, bytes },
    cause,
  });
}

/** `why` is a clause: "out differs from the oracle by 0.5 in row 7, which may be 1e-5". */
export function wrongResult(why: string): AttncError {
  return new AttncError('wrong-result', why, {
    help: 'no time is told of a wrong result; `attnc verify` looks closer, and it is a bug in attnc or the driver',
  });
}

/** For what can only be our own mistake (WGSL that does not validate, for example). */
export function internalError(problem: string, cause?: unknown): AttncError {
  return new AttncError('internal', problem, { help: 'this is a bug in attnc, please report it', cause });
}

// ---- what is bound ----

export function wrongShape(
  name: string,
  expected: readonly (number | string)[],
  actual: readonly number[],
  help?: string,
): AttncError {
  return new AttncError(
    'wrong-shape',
    `${quoted(name)} must have shape ${shapeText(expected)}, not ${shapeText(actual)}`,
    { help, details: { name, expected, actual } },
  );
}

export function wrongType(name: string, expected: readonly string[], actual: string): AttncError {
  return new AttncError('wrong-type', `${quoted(name)} must be ${expected.join(' or ')}, not ${actual}`, {
    help: 'convert it before it is bound',
    details: { name, expected, actual },
  });
}

export function missingInput(name: string, wanted: string, given: readonly string[]): AttncError {
  return new AttncError('missing-input', `the input ${quoted(name)} (${wanted}) is missing`, {
    help: given.length === 0 ? 'bind it' : `bind it; given are ${given.slice(0, 12).join(', ')}`,
    details: { name, wanted, given },
  });
}

export function unknownInput(name: string, known: readonly string[]): AttncError {
  return new AttncError('unknown-input', `the pattern has no input ${quoted(name)}`, {
    help: `its inputs are ${known.join(', ')}`,
    details: { name, known },
  });
}

/** `index` is the element's place, one number an axis. */
export function nonFinite(name: string, index: readonly number[], value: number): AttncError {
  return new AttncError('non-finite', `${quoted(name)} is ${value} at ${shapeText(index)}`, {
    help: 'its values must be finite',
    details: { name, index, value },
  });
}

/** `why` is a clause about the graph: "row_ptr must not decrease, but row_ptr[3] = 5 and row_ptr[4] = 2". */
export function malformedGraph(name: string, why: string, details: Record<string, unknown> = {}): AttncError {
  return new AttncError('malformed-graph', `the graph ${quoted(name)} is malformed: ${why}`, {
    help: 'row_ptr starts at 0, never decreases and ends at the number of col_idx; col_idx counts from 0',
    details: { name, ...details },
  });
}

export function valueOutOfRange(
  what: string,
  value: number | bigint,
  least: number | bigint,
  most: number | bigint,
): AttncError {
  return new AttncError('value-out-of-range', `${what} is ${value}, outside ${least} .. ${most}`, {
    details: { what, value, least, most },
  });
}

export function lengthOutOfRange(
  axis: string,
  length: number,
  least: number,
  most: number,
  why?: string,
): AttncError {
  const because = why === undefined ? '' : ` (${why})`;
  return new AttncError(
    'length-out-of-range',
    `${axis} is ${length}, but must be in ${least} .. ${most}${because}`,
    { details: { axis, length, least, most } },
  );
}

export function parameterOutOfRange(
  name: string,
  value: unknown,
  allowed: string,
  help?: string,
): AttncError {
  return new AttncError(
    'parameter-out-of-range',
    `the parameter ${quoted(name)} is ${String(value)}, but must be ${allowed}`,
    { help, details: { name, value, allowed } },
  );
}

export function denseBudget(rule: string, pairs: number, budget: number): AttncError {
  return new AttncError(
    'dense-budget',
    `rule ${quoted(rule)} would test ${pairs} pairs one by one, past the budget of ${budget}`,
    {
      help: 'pass --allow-dense (allowDense: true) to run it all the same',
      details: { rule, pairs, budget },
    },
  );
}

// ---- files and usage ----

/** `why` is a clause about the file; `file` is its name, or its format where only bytes were given. */
export function brokenFile(file: string, why: string, details: Record<string, unknown> = {}): AttncError {
  return new AttncError('broken-file', `${file}: ${why}`, { details: { file, ...details } });
}

export function unsupportedFile(file: string, why: string, help?: string): AttncError {
  return new AttncError('unsupported-file', `${file}: ${why}`, { help, details: { file } });
}

export function fileAccess(file: string, why: string, cause?: unknown): AttncError {
  return new AttncError('file-access', `${file}: ${why}`, { details: { file }, cause });
}

/** `how` is a clause: "it got shorter, from 20 to 10 bytes". */
export function fileChanged(file: string, how: string, cause?: unknown): AttncError {
  return new AttncError('file-changed', `${file} changed while it was read: ${how}`, {
    help: 'run again when nothing writes to it',
    details: { file },
    cause,
  });
}

/** `why` is a clause about the unfinished result `file`. */
export function cannotResume(file: string, why: string, details: Record<string, unknown> = {}): AttncError {
  return new AttncError('cannot-resume', `${file} cannot be resumed: ${why}`, {
    help: 'remove what it left (.part, .journal) to begin anew',
    details: { file, ...details },
  });
}

/** @param found what is left of an earlier run; @param files all that may be */
export function unfinishedRun(found: string, files: readonly string[]): AttncError {
  return new AttncError('unfinished-run', `${found} is there: a run was begun and not finished`, {
    help: `go on with --resume, or remove ${files.join(' and ')} to begin anew`,
    details: { file: found },
  });
}

/** @param who has it, @param lock the file that says so */
export function runUnderWay(file: string, who: string, lock: string): AttncError {
  return new AttncError('unfinished-run', `${file}: another run is writing it (${who})`, {
    help: `wait until it has ended; if it is gone, remove ${lock}`,
    details: { file, lock },
  });
}

export function usageError(problem: string, help?: string): AttncError {
  return new AttncError('usage', problem, { help });
}
