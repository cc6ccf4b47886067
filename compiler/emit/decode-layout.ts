import type { Target } from './target.js';

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

/** As many lanes as a row has pieces, up to 16, where subgroups are so large; four otherwise. */
export function laneChoices(target: Target): readonly LaneChoice[] {
  const pieces = Math.max(target.dim, target.valueDim) / 8;
  const lanes = pieces <= 4 ? 4 : pieces <= 8 ? 8 : 16;
  const most = 256;
  if (lanes === 4) return [{ lanes, subgroups: { least: 4, below: most } }];
  return [
    { lanes, subgroups: { least: lanes, below: most } },
    { lanes: 4, subgroups: { least: 4, below: lanes } },
  ];
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
