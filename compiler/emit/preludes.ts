import type { Preludes } from '../ir/program.js';
import { tidy, wgsl } from './wgsl.js';

/** Text that is a part of no other template. */
const whole = (...template: Parameters<typeof wgsl>): string => tidy(wgsl(...template));

/**
 * What the storage types are in WGSL. One array element always holds four numbers, so that kernels index all types
 * alike. Rounding to f16 and bf16 is by integers: WGSL leaves open how its own conversions round, what they make of numbers
 * past the range of f16 (`pack2x16float`) or below 2^-14, and whether there is such a thing as NaN. Where a device's own
 * conversion was seen to do the same (`directOutputs`), it takes a tenth of the instructions.
 */
export const PRELUDES: Preludes = {
  inputs: {
    f32: whole`
      // Four numbers of q, k or v: f32.
      alias Quad = vec4<f32>;
      fn read_quad(x: Quad) -> vec4<f32> {
        return x;
      }`,
    f16: whole`
      // Four numbers of q, k or v: f16, two a word.
      alias Quad = vec2<u32>;
      fn read_quad(x: Quad) -> vec4<f32> {
        return vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y));
      }`,
    bf16: whole`
      // Four numbers of q, k or v: bf16, two a word. It is the upper half of f32.
      alias Quad = vec2<u32>;
      fn read_quad(x: Quad) -> vec4<f32> {
        return bitcast<vec4<f32>>(vec4<u32>(x.x << 16u, x.x & 0xffff0000u, x.y << 16u, x.y & 0xffff0000u));
      }`,
  },
  octets: {
    f32: whole`
      // Eight numbers of q, k or v: f32.
      struct Oct {
        low: vec4<f32>,
        high: vec4<f32>,
      }
      fn read_low(x: Oct) -> vec4<f32> {
        return x.low;
      }
      fn read_high(x: Oct) -> vec4<f32> {
        return x.high;
      }`,
    f16: whole`
      // Eight numbers of q, k or v: f16, two a word.
      alias Oct = vec4<u32>;
      fn read_low(x: Oct) -> vec4<f32> {
        return vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y));
      }
      fn read_high(x: Oct) -> vec4<f32> {
        return vec4<f32>(unpack2x16float(x.z), unpack2x16float(x.w));
      }`,
    bf16: whole`
      // Eight numbers of q, k or v: bf16, two a word. It is the upper half of f32.
      alias Oct = vec4<u32>;
      fn read_low(x: Oct) -> vec4<f32> {
        return bitcast<vec4<f32>>(vec4<u32>(x.x << 16u, x.x & 0xffff0000u, x.y << 16u, x.y & 0xffff0000u));
      }
      fn read_high(x: Oct) -> vec4<f32> {
        return bitcast<vec4<f32>>(vec4<u32>(x.z << 16u, x.z & 0xffff0000u, x.w << 16u, x.w & 0xffff0000u));
      }`,
  },
  outputs: {
    f32: whole`
      // Four numbers of out: f32.
      alias OutQuad = vec4<f32>;
      fn read_out(x: OutQuad) -> vec4<f32> {
        return x;
      }
      fn write_out(x: vec4<f32>) -> OutQuad {
        return x;
      }`,
    f16: whole`
      // Four numbers of out: f16, two a word.
      alias OutQuad = vec2<u32>;
      fn read_out(x: OutQuad) -> vec4<f32> {
        return vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y));
      }
      // Rounds to nearest, ties to even; past the range to infinity; NaN stays.
      fn write_out(x: vec4<f32>) -> OutQuad {
        let bits = bitcast<vec4<u32>>(x);
        let size = bits & vec4<u32>(0x7fffffffu);
        // Seldom below 2^-14, or from 65504.
        if (any(size - 0x38800000u >= vec4<u32>(0x0effe000u))) {
          return odd_halves(bits, size);
        }
        // What has been rounded already is packed without rounding.
        let rounded = bitcast<vec4<f32>>((bits + ((bits >> vec4<u32>(13u)) & vec4<u32>(1u)) + 0xfffu) & vec4<u32>(0xffffe000u));
        return OutQuad(pack2x16float(rounded.xy), pack2x16float(rounded.zw));
      }
      fn odd_halves(bits: vec4<u32>, size: vec4<u32>) -> OutQuad {
        // From 2^-14: the exponent's bias goes from 127 to 15, and a carry out of the fraction into it.
        let normal = (size - 0x38000000u + 0xfffu + ((size >> vec4<u32>(13u)) & vec4<u32>(1u))) >> vec4<u32>(13u);
        // Below, in steps of 2^-24; less than half a step is 0.
        let whole = (size & vec4<u32>(0x7fffffu)) | vec4<u32>(0x800000u);
        let shift = vec4<u32>(126u) - clamp(size >> vec4<u32>(23u), vec4<u32>(101u), vec4<u32>(112u));
        let even = (whole >> shift) & vec4<u32>(1u);
        let small = (whole + (vec4<u32>(1u) << (shift - 1u)) - 1u + even) >> shift;
        var half = select(min(normal, vec4<u32>(0x7c00u)), small, size < vec4<u32>(0x38800000u));
        half = select(half, vec4<u32>(0x7e00u), size > vec4<u32>(0x7f800000u));
        half |= (bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u);
        return half.xz | (half.yw << vec2<u32>(16u));
      }`,
    bf16: whole`
      // Four numbers of out: bf16, two a word. It is the upper half of f32.
      alias OutQuad = vec2<u32>;
      fn read_out(x: OutQuad) -> vec4<f32> {
        return bitcast<vec4<f32>>(vec4<u32>(x.x << 16u, x.x & 0xffff0000u, x.y << 16u, x.y & 0xffff0000u));
      }
      // Rounds to nearest, ties to even; past the range to infinity; NaN stays.
      fn write_out(x: vec4<f32>) -> OutQuad {
        let bits = bitcast<vec4<u32>>(x);
        let rounded = (bits + 0x7fffu + ((bits >> vec4<u32>(16u)) & vec4<u32>(1u))) >> vec4<u32>(16u);
        let is_nan = (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
        let half = select(rounded, (bits >> vec4<u32>(16u)) | vec4<u32>(0x40u), is_nan);
        return half.xz | (half.yw << vec2<u32>(16u));
      }`,
  },
  directOutputs: {
    f16: whole`
      // Four numbers of out: f16, two a word.
      alias OutQuad = vec2<u32>;
      fn read_out(x: OutQuad) -> vec4<f32> {
        return vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y));
      }
      // As this device rounds: to nearest, ties to even; past the range to infinity; NaN stays.
      fn write_out(x: vec4<f32>) -> OutQuad {
        return OutQuad(pack2x16float(x.xy), pack2x16float(x.zw));
      }`,
  },
};
