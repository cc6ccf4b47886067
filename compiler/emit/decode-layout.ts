import type { Shader } from './shader.js';
import type { Target } from './target.js';
import { lines, wgsl } from './wgsl.js';

/**
 * How a decoding kernel divides its work. Keys come four at a time to a *team*: lanes of one subgroup that each hold
 * some columns of them, eight at a time (16 bytes of f16). A team has four query rows, a *set*; of the scores of
 * those with its four keys each lane ends up with its share, always of the same row: row `lane % 4` of the set.
 */
export interface DecodeLayout {
  /** Lanes of a team: 4, 8 or 16. Subgroups must have at least so many. */
  readonly lanes: number;
  readonly teams: number;
  readonly threads: number;
  /** Pieces of eight columns of a head, and of those how many a lane holds. */
  readonly pieces: number;
  readonly owned: number;
  /** The same of a value row, and its vec4s. */
  readonly valuePieces: number;
  readonly valuesOwned: number;
  readonly valueWidth: number;
  /** Scores that a lane has of four keys: 4, 2 or 1. */
  readonly scores: number;
}

/** Rows of a set, and the most sets of a workgroup. */
export const SET = 4;
export const MOST_SETS = 4;

/** Numbers of lanes that kernels are made for, with the sizes of subgroups that each is for. */
export interface LaneChoice {
  readonly lanes: number;
  readonly subgroups: { readonly least: number; readonly below: number };
}

/** As many lanes as a row has pieces, up to 16, where subgroups are so large; fewer otherwise. */
export function laneChoices(target: Target): readonly LaneChoice[] {
  const pieces = Math.max(target.dim, target.valueDim) / 8;
  const lanes = pieces <= 4 ? 4 : pieces <= 8 ? 8 : 16;
  return [16, 8, 4]
    .filter((n) => n <= lanes)
    .map((n) => ({ lanes: n, subgroups: { least: n, below: n === lanes ? 256 : 2 * n } }));
}

/** f32 numbers of workgroup memory in which teams put one row's sums together. */
const GATHERED = 2048;

export function decodeLayout(target: Target, lanes: number): DecodeLayout {
  const fitting = 2 ** Math.floor(Math.log2(GATHERED / target.valueDim));
  const teams = Math.min(16, 128 / lanes, Math.max(8, fitting));
  const [pieces, valuePieces] = [target.dim / 8, target.valueDim / 8];
  return {
    lanes,
    teams,
    threads: teams * lanes,
    pieces,
    owned: Math.ceil(pieces / lanes),
    valuePieces,
    valuesOwned: Math.ceil(valuePieces / lanes),
    valueWidth: target.valueDim / 4,
    scores: 16 / lanes,
  };
}

/** Number n of a lane's pieces in WGSL: a constant, or the variable `n` of a loop. */
export interface PieceNumber {
  /** Suffix of names that belong to it. */
  readonly name: string;
  /** The piece of the row, of which there may be fewer: `inside` is then a condition. */
  readonly piece: string;
  readonly inside: string | undefined;
  /** Index of its lower half in an array of two halves for each piece, `owned` pieces a row of the set. */
  readonly index: (row: number) => string;
}

/** Most pieces of a lane for which code is unrolled. With more, registers don't suffice and compilers take minutes. */
const UNROLLED = 2;

export const isUnrolled = (owned: number): boolean => owned <= UNROLLED;

/** `body` for each of the pieces that a lane holds of a row of queries and keys, or of values. */
export function eachPiece(
  shader: Shader,
  layout: DecodeLayout,
  of: 'keys' | 'values',
  body: (n: PieceNumber) => string,
): readonly string[] {
  const { lanes } = layout;
  const [owned, pieces] =
    of === 'keys' ? [layout.owned, layout.pieces] : [layout.valuesOwned, layout.valuePieces];
  if (isUnrolled(owned)) {
    return lines(owned, (n) => {
      const piece = n === 0 ? 'lane' : `lane + ${n * lanes}u`;
      return body({
        name: String(n),
        piece,
        inside: (n + 1) * lanes <= pieces ? undefined : `${piece} < ${pieces}u`,
        index: (row) => `${2 * (row * owned + n)}`,
      });
    });
  }
  // A bound that compilers don't know keeps the loop.
  const bound = shader.uniform(`${of}_owned`, 'u32', { kind: 'bits', value: owned });
  const piece = `lane + ${lanes}u * n`;
  return [
    wgsl`
    for (var n = 0u; n < ${bound}; n++) {
      ${body({
        name: 'n',
        piece,
        inside: owned * lanes === pieces ? undefined : `${piece} < ${pieces}u`,
        index: (row) => `${2 * row * owned}u + 2u * n`,
      })}
    }`,
  ];
}

/** Loads of a row's piece for every lane: those past the row's end read what another one reads. */
export const clampedPiece = ({ piece, inside }: PieceNumber, pieces: number): string =>
  inside === undefined ? piece : `min(${piece}, ${pieces - 1}u)`;

/** `body` where the piece is inside the row. */
export const whereInside = ({ inside }: PieceNumber, body: string): string =>
  inside === undefined
    ? body
    : wgsl`
      if (${inside}) {
        ${body}
      }`;

/** The upper half's index. */
export const upper = (index: string): string =>
  /^\d+$/.test(index) ? String(Number(index) + 1) : `${index} + 1u`;
