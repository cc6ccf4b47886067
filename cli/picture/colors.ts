export type Color = readonly [red: number, green: number, blue: number];

/** Okabe and Ito's colours, told apart with any colour vision; black is kept for outlines and text. */
const rules: readonly Color[] = [
  [0, 114, 178],
  [230, 159, 0],
  [0, 158, 115],
  [213, 94, 0],
  [204, 121, 167],
  [86, 180, 233],
  [173, 160, 20],
  [110, 110, 110],
];

export const palette = {
  paper: [255, 255, 255],
  empty: [247, 248, 250],
  grid: [228, 231, 236],
  gridStrong: [200, 205, 213],
  frame: [120, 128, 140],
  text: [33, 37, 43],
  faintText: [96, 104, 116],
  fullTile: [20, 22, 26],
  partialTile: [125, 132, 143],
} as const satisfies Record<string, Color>;

/** The colour of a rule (from 0). Past the eighth they come again, darker each time. */
export function ruleColor(rule: number): Color {
  const round = Math.floor(rule / rules.length);
  return mix(rules[rule % rules.length]!, [0, 0, 0], Math.min(0.6, 0.35 * round));
}

/** Paler where fewer of a cell's pairs are edges (`share` of 255), yet never so pale that an edge is lost. */
export function shade(color: Color, share: number): Color {
  return share >= 255 ? color : mix(palette.paper, color, 0.3 + 0.65 * Math.sqrt(share / 255));
}

export function hex(color: Color): string {
  return `#${color.map((part) => part.toString(16).padStart(2, '0')).join('')}`;
}

function mix(from: Color, to: Color, t: number): Color {
  const at = (n: 0 | 1 | 2): number => Math.round(from[n] + (to[n] - from[n]) * t);
  return [at(0), at(1), at(2)];
}
