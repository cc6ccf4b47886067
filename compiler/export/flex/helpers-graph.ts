import { python, type Helper } from './python.js';

/**
 * Explicit graphs as bitmaps. A binary search in sorted rows would need less memory, but FlexAttention's compiler prints
 * an expression anew wherever it is used, so that each of its steps would multiply the program.
 */
export const GRAPHS = {
  bitmap: {
    needs: [],
    text: python`
      def bitmap(row, column, rows, columns, what):
          """Words of 32 bits, so many for each row, with the bits of the given pairs set; and how many those are."""
          words = max((columns + 31) // 32, 1)
          if rows * words >= 2**31:
              raise ValueError(f"{NAME}: FlexAttention looks {what} up in a bitmap; {rows} x {columns} is too large")
          bits = torch.zeros(max(rows, 1) * words, dtype=torch.int32, device=row.device)
          bit = column % 32
          value = torch.where(bit < 31, 1 << torch.clamp(bit, max=30), -(2**31)).to(torch.int32)
          return bits.index_add_(0, row * words + column // 32, value), words


      def bit_at(bits, at, x):
          """Is bit x of a row set, if \`at\` is the word in which it is?"""
          return ((bits[at] >> (x & 31)) & 1) == 1`,
  },
  Graph: {
    needs: [],
    text: python`
      class Graph(NamedTuple):
          bits: torch.Tensor  # [graphs * rows * words], a bit for each pair
          before: torch.Tensor | None  # of each word: the edges before it
          weight: torch.Tensor | None  # of each edge
          rows: int
          words: int`,
  },
  graph: {
    needs: ['Graph', 'bitmap'],
    text: python`
      def graph(inputs, name, batches, heads, weighted, device):
          """The graph NAME: from NAME.row_ptr and NAME.col_idx, or from NAME.row and NAME.col (and NAME.batch and
          NAME.head where each has a graph of its own). A repeated edge counts once, with its first weight.
          """

          def part(key, dtype=torch.int64):
              values = inputs.get(f"{name}.{key}")
              return None if values is None else torch.as_tensor(values).to(device=device, dtype=dtype)

          graphs = batches * heads
          pointers, column, row = part("row_ptr"), part("col_idx"), part("row")
          if pointers is not None and column is not None:
              pointers = pointers.reshape(graphs, -1)
              rows = pointers.shape[1] - 1
              counts = (pointers[:, 1:] - pointers[:, :-1]).reshape(-1)
              row = torch.repeat_interleave(torch.arange(graphs * rows, device=device), counts)
          elif row is not None and part("col") is not None:
              column = part("col")
              rows = int(row.max()) + 1 if row.numel() > 0 else 1
              number = part("batch") * heads if batches > 1 else 0
              row = (number + part("head") if heads > 1 else number) * rows + row
          else:
              raise ValueError(f"{NAME}: the graph {name!r} takes {name}.row_ptr and {name}.col_idx, or .row and .col")
          if row.shape != column.shape:
              raise ValueError(f"{NAME}: {name} has {column.numel()} columns, but {row.numel()} edges")
          weight = part("weight", torch.float32)
          if weighted and weight is None:
              raise ValueError(f"{NAME}: the input '{name}.weight' is missing")
          columns = int(column.max()) + 1 if column.numel() > 0 else 0
          order = torch.argsort(row * columns + column, stable=True)
          row, column = row[order], column[order]
          one = torch.ones(min(row.numel(), 1), dtype=torch.bool, device=device)
          first = torch.cat([one, (row[1:] != row[:-1]) | (column[1:] != column[:-1])])
          row, column = row[first], column[first]
          bits, words = bitmap(row, column, graphs * rows, columns, f"the graph {name!r}")
          if not weighted:
              return Graph(bits, None, None, rows, words)
          edges = torch.bincount(row * words + column // 32, minlength=bits.numel())
          before = (torch.cumsum(edges, 0) - edges).to(torch.int32)
          # One more, so that there is one to read where there is no edge.
          weight = torch.cat([weight[order][first], torch.zeros(1, device=device)])
          return Graph(bits, before, weight, rows, words)`,
  },
  find_word: {
    needs: ['index'],
    text: python`
      def find_word(graph, number, a, b):
          """The word of the pair (a, b) of a graph, and whether they lie inside."""
          inside = (a >= 0) & (a < graph.rows) & (b >= 0) & (b < 32 * graph.words)
          row = number * graph.rows + torch.clamp(a, 0, max(graph.rows - 1, 0))
          return row * graph.words + torch.clamp(b >> 5, 0, graph.words - 1), inside`,
  },
  has_edge: {
    needs: ['find_word'],
    text: python`
      def has_edge(graph, number, a, b):
          a, b = index(a, graph.bits), index(b, graph.bits)
          at, inside = find_word(graph, number, a, b)
          return bit_at(graph.bits, at, b) & inside`,
  },
  edge_weight: {
    needs: ['find_word', 'popcount'],
    text: python`
      def edge_weight(graph, number, a, b):
          """The weight of the edge from a to b, and 0 where there is none. Edges are numbered row by row."""
          a, b = index(a, graph.bits), index(b, graph.bits)
          at, inside = find_word(graph, number, a, b)
          lower = graph.bits[at] & ~(-1 << (b & 31))
          weight = graph.weight[graph.before[at] + popcount(lower)]
          return torch.where(bit_at(graph.bits, at, b) & inside, weight, 0.0)`,
  },
} as const satisfies Readonly<Record<string, Helper>>;
