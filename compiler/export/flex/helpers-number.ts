import { python, type Helper } from './python.js';

/** Arithmetic that neither Python nor torch has as the language means it. */
export const NUMBERS = {
  f32: {
    needs: [],
    text: python`
      def f32(x):
          """x rounded to float32."""
          try:
              return struct.unpack("f", struct.pack("f", x))[0]
          except OverflowError:
              return math.copysign(math.inf, x)`,
  },
  number_exp: {
    needs: [],
    text: python`
      def number_exp(x):
          try:
              return math.exp(x)
          except OverflowError:
              return math.inf`,
  },
  number_log: {
    needs: [],
    text: python`
      def number_log(x):
          return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan`,
  },
  number_sqrt: {
    needs: [],
    text: python`
      def number_sqrt(x):
          return math.sqrt(x) if x >= 0 else math.nan`,
  },
  number_tanh: {
    needs: [],
    text: python`
      def number_tanh(x):
          return math.tanh(x)`,
  },
  number_power: {
    needs: [],
    text: python`
      def number_power(a, b):
          if a == 0 and b < 0:
              return math.inf
          if a < 0 and not float(b).is_integer():
              return math.nan
          try:
              return a**b
          except OverflowError:
              return -math.inf if a < 0 and b % 2 == 1 else math.inf`,
  },
  number_quotient: {
    needs: [],
    text: python`
      def number_quotient(a, b):
          if b != 0:
              return a / b
          return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)`,
  },
  wide: {
    needs: [],
    text: python`
      def wide(x):
          """An int of 64 bits."""
          return x.to(torch.int64) if isinstance(x, torch.Tensor) else x`,
  },
  shift_left: {
    needs: ['wide'],
    text: python`
      def shift_left(x, by):
          """x shifted, in 32 bits; 0 where nothing of x is left."""
          if isinstance(by, torch.Tensor):
              inside = (by >= 0) & (by <= 31)
              shifted = wide(x) << wide(torch.clamp(by, 0, 31))
          else:
              inside = 0 <= by <= 31
              shifted = wide(x) << min(max(by, 0), 31)
          return (((shifted + 0x80000000) & 0xFFFFFFFF) - 0x80000000) * inside`,
  },
  shift_right: {
    needs: [],
    text: python`
      def shift_right(x, by):
          """x shifted, the sign kept."""
          return x >> (torch.clamp(by, 0, 31) if isinstance(by, torch.Tensor) else min(max(by, 0), 31))`,
  },
  popcount: {
    needs: [],
    text: python`
      def popcount(x):
          """How many of the 32 bits are 1: added up in fours, then in eights, and so on, always below 2**31."""
          x = sum((x >> n) & 0x11111111 for n in range(4))
          x = (x + (x >> 4)) & 0x0F0F0F0F
          x = x + (x >> 8)
          return (x + (x >> 16)) & 0x3F`,
  },
  ones: {
    needs: [],
    text: python`
      def ones(x):
          """Every bit at or below the highest set one; all of them for negative numbers."""
          for by in (1, 2, 4, 8, 16):
              x = x | (x >> by)
          return x`,
  },
} as const satisfies Readonly<Record<string, Helper>>;
