import { DRAWING } from './helpers-draw.js';
import { GRAPHS } from './helpers-graph.js';
import { NUMBERS } from './helpers-number.js';
import { python, type Helper } from './python.js';

/** Python functions that modules carry where they call them: nothing but torch needs to be there. */

const READING = {
  table: {
    needs: [],
    text: python`
      def table(inputs, name, dtype, sizes, device):
          """An input as a tensor of the shape that the pattern declares."""
          if name not in inputs:
              raise ValueError(f"{NAME}: the input {name!r} is missing")
          values = torch.as_tensor(inputs[name]).to(device=device, dtype=dtype)
          if tuple(values.shape) != tuple(sizes):
              raise ValueError(f"{NAME}: {name!r} must have shape {list(sizes)}, not {list(values.shape)}")
          return values`,
  },
  read: {
    needs: ['index'],
    text: python`
      def read(values, *at):
          """values[at], and 0 (or False) where an index lies outside."""
          inside, places = True, []
          for x, size in zip(at, values.shape):
              x = index(x, values)
              inside = (x >= 0) & (x < size) & inside
              places.append(torch.clamp(x, 0, max(size - 1, 0)))
          if values.numel() == 0:
              return inside if values.dtype == torch.bool else inside.to(values.dtype)
          found = values[tuple(places)]
          return found & inside if values.dtype == torch.bool else torch.where(inside, found, 0)`,
  },
  index: {
    needs: [],
    text: python`
      def index(x, like):
          """An index as a tensor: FlexAttention takes no other."""
          return x if isinstance(x, torch.Tensor) else like.new_full((), x, dtype=torch.int32)`,
  },
  grid_sizes: {
    needs: [],
    text: python`
      def grid_sizes(keys, sizes):
          """The grid's sizes, the one that is None inferred; their product is the number of keys."""
          known = math.prod(s for s in sizes if s is not None)
          sizes = [keys // max(known, 1) if s is None else s for s in sizes]
          if min(sizes) < 1 or math.prod(sizes) != keys:
              raise ValueError(f"{NAME}: {keys} keys don't fill a grid of {' x '.join(map(str, sizes))}")
          return sizes`,
  },
} as const satisfies Readonly<Record<string, Helper>>;

const SHAPE = {
  settings: {
    needs: ['f32'],
    text: python`
      def settings(given):
          """The parameters: those given, and the defaults of the others."""
          for name in given:
              if name in FIXED:
                  raise ValueError(f"{NAME}: {name!r} is fixed in this module; export it with --set {name}=...")
              if name not in PARAMETERS:
                  raise ValueError(f"{NAME}: there is no parameter {name!r}; there are {', '.join(PARAMETERS)}")
          values = {}
          for name, default in PARAMETERS.items():
              value = given.get(name, default)
              if isinstance(default, bool):
                  values[name] = bool(value)
              elif isinstance(default, float):
                  values[name] = f32(value)
              elif value != int(value):
                  raise ValueError(f"{NAME}: {name!r} must be a whole number, not {value}")
              else:
                  values[name] = int(value)
              least, most = RANGES.get(name, (value, value))
              if not least <= value <= most:
                  raise ValueError(f"{NAME}: {name!r} is {value}, outside {least} .. {most}")
          return values`,
  },
  sequences: {
    needs: [],
    text: python`
      def sequences(batch, queries, keys, lengths, device):
          """Two functions: \`position(b, q_idx)\`, the position of a row of q, and \`of(f)\`, which makes
          f(keys, queries, base) a function of b: a number, or where lengths are given one for each sequence.
          """
          lengths = lengths or {}
          rows_q = [int(n) for n in lengths.get("queries", [queries] * batch)]
          rows_k = [int(n) for n in lengths.get("keys", [keys] * batch)]
          if len(rows_q) != batch or len(rows_k) != batch:
              raise ValueError(f"{NAME}: lengths must hold {batch} numbers, one for each sequence")
          if max(rows_q) > queries or max(rows_k) > keys or min(rows_q + rows_k) < 0:
              raise ValueError(f"{NAME}: lengths lie outside of q or k")
          if ALIGN == "end" and any(n > m for n, m in zip(rows_q, rows_k)):
              raise ValueError(f"{NAME}: more queries than keys; only patterns with \`align start\` take them")
          bases = [m - n if ALIGN == "end" else 0 for n, m in zip(rows_q, rows_k)]

          def of(f):
              values = [f(m, n, base) for n, m, base in zip(rows_q, rows_k, bases)]
              if not lengths:
                  return lambda b: values[0]
              kind = torch.float32 if isinstance(values[0], float) else INTEGER
              kind = torch.bool if isinstance(values[0], bool) else kind
              numbers = torch.tensor(values, dtype=kind, device=device)
              return lambda b: numbers[b]

          base_of = of(lambda keys, queries, base: base)

          def position(b, q_idx):
              # Rows past a sequence's end are masked, but tables are read for them all the same.
              return torch.clamp(q_idx + base_of(b), max=keys - 1) if lengths else q_idx + base_of(b)

          return position, of`,
  },
  within_lengths: {
    needs: [],
    text: python`
      def within_lengths(mask_mod, of):
          """Leaves the rows of q, k and v out that lie past a sequence's own lengths."""
          queries_of = of(lambda keys, queries, base: queries)
          keys_of = of(lambda keys, queries, base: keys)

          def inside(b, h, q_idx, kv_idx):
              mask = (q_idx < queries_of(b)) & (kv_idx < keys_of(b))
              return mask if mask_mod is None else mask & mask_mod(b, h, q_idx, kv_idx)

          return inside`,
  },
} as const satisfies Readonly<Record<string, Helper>>;

const CHOOSING = {
  least: {
    needs: [],
    text: python`
      def least(a, b):
          """The lesser of a tensor and what is a tensor only where lengths are given."""
          a, b = (a, b) if isinstance(a, torch.Tensor) else (b, a)
          return torch.minimum(a, b) if isinstance(b, torch.Tensor) else torch.clamp(a, max=b)`,
  },
  greatest: {
    needs: [],
    text: python`
      def greatest(a, b):
          """The greater of a tensor and what is a tensor only where lengths are given."""
          a, b = (a, b) if isinstance(a, torch.Tensor) else (b, a)
          return torch.maximum(a, b) if isinstance(b, torch.Tensor) else torch.clamp(a, min=b)`,
  },
  choose: {
    needs: [],
    text: python`
      def choose(condition, a, b):
          """a or b by a condition that is a tensor only where lengths are given."""
          if isinstance(condition, torch.Tensor):
              return torch.where(condition, a, b)
          return a if condition else b`,
  },
} as const satisfies Readonly<Record<string, Helper>>;

const ALL = { ...SHAPE, ...READING, ...CHOOSING, ...NUMBERS, ...GRAPHS, ...DRAWING } as const;

export type HelperName = keyof typeof ALL;

/** In the order in which modules print them. */
export const helperTexts: Readonly<
  Record<HelperName, { readonly needs: readonly HelperName[]; readonly text: string }>
> = ALL;
