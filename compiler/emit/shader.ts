import type { Binding, BindingName, UniformField, UniformSource } from '../ir/program.js';
import { remembered } from './remembered.js';
import { tidy, wgsl } from './wgsl.js';

/**
 * A shader while it is printed: collects the uniform fields, bindings and helper functions that its text turns out to
 * use, so that nothing unused is declared.
 */
export interface Shader {
  readonly windows: boolean;
  /** The uniform field of that name, declared on first use: `shape.NAME`. */
  uniform(name: string, type: UniformField['type'], source: UniformSource): string;
  /** The binding's variable. Writing asks for more than reading. */
  bind(name: BindingName, access?: 'read' | 'read_write'): string;
  /** Makes sure that a function (with its comment) is part of the shader; printed after all others, once. */
  helper(name: string, text: () => string): string;
  /** The whole text around `body`, with the declarations that were collected. */
  finish(header: string, body: readonly string[]): string;
  readonly uniforms: readonly UniformField[];
  readonly bindings: readonly Binding[];
}

const ORDER: readonly BindingName[] = [
  'shape',
  'q',
  'k',
  'v',
  'out',
  'lse',
  'tables',
  'plan',
  'parts',
  'redo',
];

/** A variable's WGSL type, and how many numbers an element of its array holds. */
export interface BindingType {
  readonly type: string;
  readonly components: number;
}

const QUADS: BindingType = { type: 'array<Quad>', components: 4 };
const WORDS: BindingType = { type: 'array<u32>', components: 1 };

const TYPES: Readonly<Record<BindingName, BindingType>> = {
  shape: { type: 'Shape', components: 1 },
  q: QUADS,
  k: QUADS,
  v: QUADS,
  out: { type: 'array<OutQuad>', components: 4 },
  lse: WORDS,
  tables: WORDS,
  plan: WORDS,
  parts: { type: 'array<vec4<f32>>', components: 4 },
  redo: { type: 'array<atomic<u32>>', components: 1 },
};

export interface ShaderOptions {
  /** Types of bindings that aren't as the preludes have it, such as `array<vec4<u32>>` of 8 halves. */
  readonly types?: Readonly<Partial<Record<BindingName, BindingType>>>;
}

/** Whose shaders they are, and whether only some of the keys may be at hand: see Target.windows. */
export interface ShaderOwner {
  readonly windows: boolean;
}

/** Parts of texts as they were printed, for each owner: its kernels share most of them. */
const PRINTED = new WeakMap<ShaderOwner, Map<string, string>>();

export function createShader(owner: ShaderOwner, options: ShaderOptions = {}): Shader {
  const { windows } = owner;
  const printed = PRINTED.get(owner) ?? new Map<string, string>();
  PRINTED.set(owner, printed);
  const types = { ...TYPES, ...options.types };
  const uniforms = new Map<string, UniformField>();
  const accesses = new Map<BindingName, Binding['access']>();
  const helpers = new Map<string, string>();
  const bindings = (): readonly Binding[] =>
    ORDER.flatMap((name, binding) => {
      const access = accesses.get(name);
      return access === undefined ? [] : [{ binding, name, access, ...types[name] }];
    });
  return {
    windows,
    uniform: (name, type, source) => {
      accesses.set('shape', 'uniform');
      if (!uniforms.has(name)) uniforms.set(name, { name, type, source });
      return `shape.${name}`;
    },
    bind: (name, access = 'read') => {
      if (accesses.get(name) !== 'read_write') accesses.set(name, access);
      return name;
    },
    helper: (name, text) => {
      // The text may ask for helpers of its own: reserve the place first.
      if (!helpers.has(name)) {
        helpers.set(name, '');
        helpers.set(name, text());
      }
      return name;
    },
    finish: (header, body) =>
      [
        header,
        shapeStruct([...uniforms.values()]),
        bindings().map(declaration).join('\n'),
        ...body,
        ...helpers.values(),
      ]
        .map((part) => remembered(printed, part, tidy))
        .filter((part) => part !== '')
        .join('\n\n') + '\n',
    get uniforms() {
      return [...uniforms.values()];
    },
    get bindings() {
      return bindings();
    },
  };
}

function shapeStruct(fields: readonly UniformField[]): string {
  return wgsl`
    struct Shape {
      ${fields.map((f) => `${f.name}: ${f.type},`)}
    }`;
}

function declaration(b: Binding): string {
  const space = b.access === 'uniform' ? 'uniform' : `storage, ${b.access}`;
  return `@group(0) @binding(${b.binding}) var<${space}> ${b.name}: ${b.type};`;
}
