import { python, type Helper } from './python.js';

/** Explicit graphs: rows sorted when they are bound, edges found by binary search in a fixed number of steps. */
export const GRAPHS = {
  Graph: {
    needs: [],
    text: python`
      class Graph(NamedTuple):
          row_ptr: torch.Tensor  # [graphs * rows + 1]
          col_idx: torch.Tensor  # ascending within a row
          weight: torch.Tensor
          rows: int
          steps: int  # of the binary search: enough for the longest row`,
  },
  graph: {
    needs: ['Graph'],
    text: python`
      def graph(inputs, name, batches, heads, weighted, device):
          """The graph NAME: from NAME.row_ptr and NAME.col_idx, or from NAME.row and NAME.col (and NAME.batch and
          NAME.head where each has a graph of its own). A repeated edge counts once, with its first weight.
          """

          def part(key):
              values = inputs.get(f"{name}.{key}")
              return None if values is None else torch.as_tensor(values).to(device=device, dtype=torch.int64)

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
              number = number + part("head") if heads > 1 else number
              row = number * rows + row
          else:
              raise ValueError(f"{NAME}: the graph {name!r} takes {name}.row_ptr and {name}.col_idx, or .row and .col")
          if row.shape != column.shape:
              raise ValueError(f"{NAME}: {name} has {column.numel()} columns, but {row.numel()} edges")
          weight = inputs.get(f"{name}.weight")
          if weighted and weight is None:
              raise ValueError(f"{NAME}: the input '{name}.weight' is missing")
          weight = torch.as_tensor(weight if weighted else [0.0]).to(device=device, dtype=torch.float32)
          if column.numel() > 0:
              order = torch.argsort(row * (int(column.max()) + 1) + column, stable=True)
              row, column = row[order], column[order]
              one = torch.ones(1, dtype=torch.bool, device=device)
              first = torch.cat([one, (row[1:] != row[:-1]) | (column[1:] != column[:-1])])
              weight = weight[order][first] if weighted else weight
              row, column = row[first], column[first]
          else:
              column, weight = column.new_full((1,), -1), weight.new_full((1,), 0)
          degrees = torch.bincount(row, minlength=max(graphs * rows, 1))
          pointers = torch.cat([degrees[:1] * 0, torch.cumsum(degrees, 0)])
          steps = int(degrees.max()).bit_length()
          return Graph(pointers.to(torch.int32), column.to(torch.int32), weight, rows, steps)`,
  },
  find_edge: {
    needs: ['index'],
    text: python`
      def find_edge(graph, number, a, b):
          """The place of the edge from a to b of a graph in col_idx, or -1: a binary search in a's row."""
          a = index(a, graph.row_ptr)
          row = torch.clamp(a, 0, max(graph.rows - 1, 0)) + number * graph.rows
          low, end = graph.row_ptr[row], graph.row_ptr[row + 1]
          high, last = end, graph.col_idx.shape[0] - 1
          for _ in range(graph.steps):
              middle = (low + high) >> 1
              less = (low < high) & (graph.col_idx[torch.clamp(middle, max=last)] < b)
              low, high = torch.where(less, middle + 1, low), torch.where(less, high, middle)
          found = (low < end) & (graph.col_idx[torch.clamp(low, max=last)] == b)
          return torch.where(found & (a >= 0) & (a < graph.rows), low, -1)`,
  },
  has_edge: {
    needs: ['find_edge'],
    text: python`
      def has_edge(graph, number, a, b):
          return find_edge(graph, number, a, b) >= 0`,
  },
  edge_weight: {
    needs: ['find_edge'],
    text: python`
      def edge_weight(graph, number, a, b):
          """The weight of the edge from a to b, and 0 where there is none."""
          at = find_edge(graph, number, a, b)
          return torch.where(at >= 0, graph.weight[torch.clamp(at, min=0)], 0.0)`,
  },
} as const satisfies Readonly<Record<string, Helper>>;
