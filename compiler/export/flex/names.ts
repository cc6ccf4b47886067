/** Python identifiers for the names of a pattern. */

const KEYWORDS = (
  'False None True and as assert async await break class continue def del elif else except finally for from global ' +
  'if import in is lambda nonlocal not or pass raise return try while with yield'
).split(' ');

/** Built-in names that modules use, and must not hide. */
const BUILT_IN = (
  'abs all any bool dict enumerate float int isinstance len list max min range reversed str sum tuple type zip ' +
  'ValueError self'
).split(' ');

/** Names of the modules' own: imports, what they define, arguments and local names. */
const OWN = (
  'annotations math struct torch Callable NamedTuple AuxRequest create_block_mask flex_attention ' +
  'NAME ALIGN PARAMETERS FIXED RANGES INPUTS GRID INTEGER NONE times32 bit_at Parts build attention attend _attend _compiled ' +
  'device batch heads queries keys inputs parameters block_size dim lengths return_lse kernel_options parts ' +
  'q k v b h i j q_idx kv_idx score mask mask_mod score_mod block_mask scale sink settings of position rule count mask multiplicity sink_score'
).split(' ');

export interface Names {
  /** An identifier like `wanted` that nothing else has. */
  readonly take: (wanted: string) => string;
  /** `n1`, `n2` …: numbered names of one letter belong to the printer. */
  readonly number: (letter: string) => string;
}

export function createNames(reserved: readonly string[]): Names {
  const taken = new Set([...KEYWORDS, ...BUILT_IN, ...OWN, ...reserved]);
  const counts = new Map<string, number>();
  const take = (wanted: string): string => {
    let name = wanted.replace(/\W+/g, '_').replace(/(?<=.)_+$/, '');
    if (name === '' || /^\d/.test(name)) name = `_${name}`;
    // `n1` and its kind are numbered by `number`, `i_y` and its kind are coordinates.
    if (/^([a-z]|sample_|drawn_|part_)\d+$|^[ij]_/.test(name)) name = `${name}_`;
    for (let n = 2, base = name; taken.has(name); n++) {
      name = n === 2 && !base.endsWith('_') ? `${base}_` : `${base.replace(/_$/, '')}_${n}`;
    }
    taken.add(name);
    return name;
  };
  const number = (letter: string): string => {
    const n = (counts.get(letter) ?? 0) + 1;
    counts.set(letter, n);
    return `${letter}${n}`;
  };
  return { take, number };
}
