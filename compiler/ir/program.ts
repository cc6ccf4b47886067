import type { InputDeclaration, Mix, ParameterDeclaration, Pattern } from './edges.js';
import type { Schedule } from './schedule.js';
import type { Expr } from './expr.js';

/** How the numbers of q, k, v and out lie in memory; kernels compute in f32. */
export type StorageType = 'f32' | 'f16' | 'bf16';

export const STORAGE_TYPES: readonly StorageType[] = ['f32', 'f16', 'bf16'];

/** What a kernel is compiled for: one type for q, k and v, and one for out. lse is always f32. */
export interface StorageTypes {
  readonly input: StorageType;
  readonly output: StorageType;
}

/** A binding of a kernel: the shader's declaration and the runtime's bind group both come from this. */
export interface Binding {
  readonly binding: number;
  readonly name: BindingName;
  readonly access: 'uniform' | 'read' | 'read_write';
  /** WGSL type of the variable, the same for every storage type: `Quad` and `OutQuad` are named by a prelude. */
  readonly type: string;
  /** Numbers in an element of the variable's array: 4 for array<Quad>. Strides and offsets are multiples of it. */
  readonly components: number;
}

export type BindingName = 'shape' | 'q' | 'k' | 'v' | 'out' | 'lse' | 'tables' | 'plan' | 'parts' | 'redo';

/** One 4-byte word of the uniform block `shape`, in order. */
export interface UniformField {
  readonly name: string;
  readonly type: 'i32' | 'u32' | 'f32';
  readonly source: UniformSource;
}

export type UniformSource =
  | { readonly kind: 'shape'; readonly name: ShapeValue }
  /** Strides and offsets in elements of the binding's array. */
  | {
      readonly kind: 'stride';
      readonly tensor: 'q' | 'k' | 'v' | 'out' | 'lse';
      readonly axis: 'batch' | 'head' | 'row' | 'offset';
    }
  | { readonly kind: 'parameter'; readonly name: string }
  | { readonly kind: 'grid'; readonly axis: number }
  /**
   * Offset of a table in `tables` (words), or its size along an axis. Graphs, and parts of them (graph-boxes.ts):
   * `row_ptr`, `col_idx`, `weight`.
   */
  | { readonly kind: 'table'; readonly name: string; readonly part: string }
  /** Offset of a part of the plan in `plan` (words), or a count of it. */
  | { readonly kind: 'plan'; readonly part: string }
  /** How the rows of a key head are packed into workgroups: see Kernel.pack. */
  | { readonly kind: 'pack'; readonly part: 'heads' | 'blocks' | 'queries' | 'sets' }
  | { readonly kind: 'bits'; readonly value: number };

/**
 * `batch`, `heads`, `key_heads` and `rows` (the most over the batch; each batch's own stand in `plan`) count what is
 * computed; `first_batch` and `first_head` are where that begins in a run with `all_heads`; `window_lo` and `window_hi`
 * are the keys at hand, first and one past the last; `fresh` is 1 where (out, lse) hold nothing yet.
 */
export type ShapeValue =
  | 'batch'
  | 'heads'
  | 'key_heads'
  | 'rows'
  | 'splits'
  | 'first_batch'
  | 'first_head'
  | 'all_heads'
  | 'window_lo'
  | 'window_hi'
  | 'fresh';

export interface Kernel {
  readonly name: string;
  /**
   * Workgroups are numbered x + y · (number of x); those past the last return. `tiles` and `merge`: the pass's query
   * tiles (of `rows` coordinates), tile fastest, then class, head, batch, but a workgroup of `merge` is one row of
   * them, row fastest; `decode`: like `tiles`, then split. `gather`: `rows` slots of the GatherPlan each; `gather_merge`:
   * one of its long rows each. The others: blocks of `rows` query rows, block fastest, then head, batch.
   * A decode workgroup leaves `rows` rows of valueDim / 4 + 1 vec4s in `parts`: the sums, then (highest score, total
   * weight, poison, 0). Workgroups of a `tiles` or `decode` kernel that binds `redo` leave nothing if it needs care, and put
   * their number there (`REDO`). However many there are of `tiles_again` or `decode_again`, together they do what is
   * listed and empty the list: it must be zeros before the first run only.
   */
  readonly role:
    | 'initialise'
    | 'tiles'
    | 'tiles_again'
    | 'decode'
    | 'decode_again'
    | 'merge'
    | 'gather'
    | 'gather_merge'
    | 'sink';
  /** The pass that it runs (all but initialise and sink). */
  readonly pass: number | undefined;
  /** `enable …;`, `requires …;` and `diagnostic(…);` lines, which come before all else; '' for none. */
  readonly directives: string;
  /** Without directives and preludes: `shaderText` gives what a device compiles. */
  readonly wgsl: string;
  readonly entry: string;
  readonly workgroup: readonly [number, number, number];
  /** Query coordinates a workgroup covers; with `pack`, rows of the largest workgroup. */
  readonly rows: number;
  /** Of those, so many visit keys by themselves: what others need costs them nothing. Undefined: all visit the same. */
  readonly apart?: number;
  /**
   * Decoding kernels whose workgroups take rows of several heads of one key head: the runtime says how many heads and
   * queries. `set`: rows that share a lane's registers; rows come in 1, 2, 4 … such sets, up to `rows` / `set`.
   * `heads` is false where the tiles to visit differ by head: then rows of a workgroup are queries of one head.
   */
  readonly pack?: { readonly set: number; readonly heads: boolean };
  /** The sizes that a device's smallest subgroups must have to run it: from `least`, less than `below`. */
  readonly subgroups?: { readonly least: number; readonly below: number };
  readonly bindings: readonly Binding[];
  readonly uniforms: readonly UniformField[];
}

/** Kinds of kernels: plain f32 arithmetic; subgroups; subgroup matrices. */
export type Family = 'portable' | 'subgroup' | 'matrix';

/** Text before a kernel's own that defines what its storage types are, by type. */
export interface Preludes {
  /** `Quad` (four numbers of q, k or v) and `read_quad(x: Quad) -> vec4<f32>`. */
  readonly inputs: Readonly<Record<StorageType, string>>;
  /** `Oct` (eight of them, read as 16 bytes or twice 16) and `read_low(x: Oct)`, `read_high(x: Oct) -> vec4<f32>`. */
  readonly octets: Readonly<Record<StorageType, string>>;
  /** `OutQuad` (four numbers of out), `read_out(x: OutQuad) -> vec4<f32>`, `write_out(x: vec4<f32>) -> OutQuad`. */
  readonly outputs: Readonly<Record<StorageType, string>>;
  /** Shorter ones for a device whose own conversion was seen to give the same, bit for bit (see runtime/direct-outputs). */
  readonly directOutputs?: Readonly<Partial<Record<StorageType, string>>>;
}

/** A schedule printed for one family of kernels. */
export interface Variant {
  readonly family: Family;
  /** Storage types that its kernels can be compiled for: of q, k and v, and of out. */
  readonly inputs: readonly StorageType[];
  readonly outputs: readonly StorageType[];
  /** Index into `Program.schedules`. */
  readonly schedule: number;
  readonly kernels: readonly Kernel[];
  readonly features: readonly string[];
  /** Least values of device limits, by WebGPU name. */
  readonly limits: Readonly<Record<string, number>>;
  /** Subgroup matrices that the device must have (f16 operands, f32 sums). */
  readonly matrix?: MatrixNeeds;
  /** How it divides its work, for people and for tuning; undefined where there is one way only. */
  readonly tiling?: string;
}

/** Products of m × k and k × n matrices, by subgroups of exactly `lanes`. */
export interface MatrixNeeds {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly lanes: number;
  /** Products of m × k and k × scoreColumns matrices, too. */
  readonly scoreColumns: number;
  /** Subgroups must run in lockstep, with their accesses to workgroup memory in program order. */
  readonly lockstep: boolean;
}

/**
 * Words of the binding `redo`: how many workgroups are listed; how many of those that share the list are through with it;
 * how many, counting on from run to run, have gone through their keys once more by themselves, and have been done again
 * as listed; where the list begins.
 */
export const REDO = { listed: 0, through: 1, retried: 2, redone: 3, list: 4 } as const;

/** Of programs as data: what was compiled for another is not run. */
export const PROGRAM_VERSION = 6;

/**
 * A compiled pattern: plain data that runs without the compiler.
 * `JSON.parse(JSON.stringify(program))` is the same program (shared sub-expressions become repeated ones; use
 * `packProgram`/`unpackProgram` to keep them shared and the text small).
 */
export interface Program {
  readonly format: 'attnc-program';
  readonly version: typeof PROGRAM_VERSION;
  readonly name: string;
  readonly doc: string | undefined;
  /** Head sizes of q and k, and of v. */
  readonly dim: number;
  readonly valueDim: number;
  readonly parameters: readonly ParameterDeclaration[];
  readonly inputs: readonly InputDeclaration[];
  /** The meaning: for the oracle, for planning and for the checks at binding. */
  readonly pattern: Pattern;
  readonly score: Expr | undefined;
  readonly mix: Mix;
  readonly schedules: readonly Schedule[];
  readonly variants: readonly Variant[];
  readonly preludes: Preludes;
  /**
   * True if kernels compute with whatever keys are at hand, and add to what they find in (out, lse): for runs in
   * parts. The first pass, if it is complete, finds nothing where it is `fresh`, without an initialising kernel. Otherwise all keys must be bound at once.
   */
  readonly windows: boolean;
  /** Largest number of keys for which every integer stays in 32 bits, with parameters at their present values. */
  readonly maxLength: number;
}
