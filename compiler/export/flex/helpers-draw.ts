import { python, type Helper } from './python.js';

/**
 * `sample(count, below, seed, key…)`: FlexAttention has no loops of unknown length, which walking the cycles of the
 * permutation takes, so the samples are drawn in `build`, one for each row that they depend on, and looked up.
 */
export const DRAWING = {
  Sample: {
    needs: [],
    text: python`
      class Sample(NamedTuple):
          # Of each of batch * heads * rows: its members, filled up with NONE; where words > 0, a bitmap of them.
          members: torch.Tensor
          batch: int  # 1 in each of the three where all are alike
          heads: int
          rows: int
          width: int
          words: int


      NONE = 2**31 - 1`,
  },
  mix32: {
    needs: [],
    text: python`
      def times32(x, factor):
          """The product's lower 32 bits, of numbers of 32 bits in 64."""
          low = (x & 0xFFFF) * factor
          return (low + ((((x >> 16) * factor) & 0xFFFF) << 16)) & 0xFFFFFFFF


      def mix32(x):
          """murmur3's 32-bit finaliser."""
          x = times32(x ^ (x >> 16), 0x85EBCA6B)
          x = times32(x ^ (x >> 13), 0xC2B2AE35)
          return x ^ (x >> 16)`,
  },
  draw: {
    needs: ['Sample', 'mix32', 'bitmap'],
    text: python`
      def draw(sample, batch, heads, rows, device):
          """The members of sample(b, h, row), which gives count, below, seed and keys, for every b, h and row."""
          b = torch.arange(batch, device=device).reshape(-1, 1, 1)
          h = torch.arange(heads, device=device).reshape(1, -1, 1)
          row = torch.arange(rows, device=device).reshape(1, 1, -1)
          zero = b * 0 + h * 0 + row * 0
          count, below, seed, *keys = ((zero + x).reshape(-1, 1) for x in sample(b, h, row))
          width = max(int(torch.clamp(torch.minimum(count, below), min=0).max()), 1)
          word = mix32((seed & 0xFFFFFFFF) ^ 0x9E3779B9)
          for key in keys:
              word = mix32((times32(word, 31) + (key & 0xFFFFFFFF)) & 0xFFFFFFFF)
          half = zero.reshape(-1, 1) + 1
          for bits in range(1, 16):
              half = half + (below > 4**bits)
          low = (1 << half) - 1

          def step(x):
              left, right = x >> half, x & low
              for n in range(4):
                  mixed = mix32((word + times32(right + 1, 0x9E3779B1) + n) & 0xFFFFFFFF)
                  left, right = right, left ^ (mixed & low)
              return (left << half) | right

          n = zero.reshape(-1, 1) + torch.arange(width, device=device).reshape(1, -1)
          wanted = (n < count) & (n < below)
          members = step(torch.where(wanted, n, 0))
          outside = wanted & (members >= below)
          while bool(outside.any()):
              members = torch.where(outside, step(members), members)
              outside = wanted & (members >= below)
          if width <= 32:
              members = torch.where(wanted, members, NONE).reshape(-1).to(torch.int32)
              return Sample(members, batch, heads, rows, width, 0)
          row = (n * 0 + torch.arange(n.shape[0], device=device).reshape(-1, 1))[wanted]
          bits, words = bitmap(row, members[wanted], n.shape[0], int(below.max()), "samples")
          return Sample(bits, batch, heads, rows, width, words)`,
  },
  in_sample: {
    needs: ['draw', 'index'],
    text: python`
      def in_sample(sample, b, h, row, x):
          """Is x a member of the row's sample?"""
          at = b if sample.batch > 1 else 0
          at = at * sample.heads + (h if sample.heads > 1 else 0)
          at = at * sample.rows + (row if sample.rows > 1 else 0)
          if sample.words > 0:
              x = index(x, sample.members)
              word = index(at * sample.words, sample.members) + torch.clamp(x >> 5, 0, sample.words - 1)
              return bit_at(sample.members, word, x) & (x >= 0) & (x < 32 * sample.words)
          at = index(at * sample.width, sample.members)
          found = sample.members[at] == x
          for n in range(1, sample.width):
              found = found | (sample.members[at + n] == x)
          return found & (x < NONE)`,
  },
} as const satisfies Readonly<Record<string, Helper>>;
