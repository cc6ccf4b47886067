/** Railroad diagrams as SVG, from grammar rules as data. Lengths are in pixels. */

/** What a diagram shows. */
export type Track =
  | { readonly kind: 'terminal'; readonly text: string }
  | { readonly kind: 'reference'; readonly name: string }
  | { readonly kind: 'sequence'; readonly parts: readonly Track[] }
  | { readonly kind: 'choice'; readonly parts: readonly Track[] }
  /** Once or more, with something between. */
  | { readonly kind: 'loop'; readonly part: Track; readonly between: Track }
  | { readonly kind: 'nothing' };

/** A drawn track: it enters at (0, 0) and leaves at (width, 0). */
interface Drawing {
  readonly width: number;
  /** How far it reaches above and below the line. */
  readonly up: number;
  readonly down: number;
  readonly svg: (x: number, y: number) => string;
}

const gap = 10;
const radius = 8;
const boxHeight = 24;
const letter = 7.8;

export function optional(part: Track): Track {
  return { kind: 'choice', parts: [{ kind: 'nothing' }, part] };
}

/** An SVG of the track between its two ends. References link to `#NAME`. */
export function drawRailroad(track: Track): string {
  const drawing = draw(track);
  const end = 20;
  const width = drawing.width + 2 * end;
  const height = drawing.up + drawing.down + 4;
  const y = drawing.up + 2;
  const ends = `<path d="M1 ${y - 8}v16m0 -8h${end - 1}M${width - end} ${y}h${end - 1}m0 -8v16"/>`;
  return `<svg viewBox="0 0 ${round(width)} ${round(height)}" width="${round(width)}" height="${round(height)}">${ends}${drawing.svg(end, y)}</svg>`;
}

function draw(track: Track): Drawing {
  switch (track.kind) {
    case 'nothing':
      return { width: 0, up: 0, down: 0, svg: () => '' };
    case 'terminal':
      return box(track.text, 12, (text) => text);
    case 'reference':
      return box(track.name, 0, (text) => `<a href="#${track.name}">${text}</a>`);
    case 'sequence':
      return sequence(track.parts.map(draw));
    case 'choice':
      return choice(track.parts.map(draw));
    case 'loop':
      return loop(draw(track.part), draw(track.between));
  }
}

function box(text: string, corner: number, wrap: (svg: string) => string): Drawing {
  const width = Math.ceil(text.length * letter) + 20;
  const half = boxHeight / 2;
  return {
    width,
    up: half,
    down: half,
    svg: (x, y) => {
      const middle = round(x + width / 2);
      const rect = `<rect x="${round(x)}" y="${round(y - half)}" width="${width}" height="${boxHeight}" rx="${corner}"/>`;
      return wrap(`${rect}<text x="${middle}" y="${round(y + 4)}">${escape(text)}</text>`);
    },
  };
}

function line(x: number, y: number, length: number): string {
  return length > 0 ? `<path d="M${round(x)} ${round(y)}h${round(length)}"/>` : '';
}

function sequence(parts: readonly Drawing[]): Drawing {
  const width = parts.reduce((sum, part) => sum + part.width, 0) + gap * Math.max(0, parts.length - 1);
  return {
    width,
    up: Math.max(0, ...parts.map((part) => part.up)),
    down: Math.max(0, ...parts.map((part) => part.down)),
    svg: (x, y) => {
      let at = x;
      return parts
        .map((part, k) => {
          const joint = k === 0 ? '' : line(at - gap, y, gap);
          const svg = joint + part.svg(at, y);
          at += part.width + gap;
          return svg;
        })
        .join('');
    },
  };
}

/** The first on the line, the others below it. */
function choice(parts: readonly Drawing[]): Drawing {
  const inner = Math.max(...parts.map((part) => part.width));
  const width = inner + 4 * radius;
  const offsets: number[] = [];
  let below = 0;
  parts.forEach((part, k) => {
    const previous = parts[k - 1];
    if (previous !== undefined) below += Math.max(previous.down + part.up + gap, 2 * radius);
    offsets.push(below);
  });
  return {
    width,
    up: parts[0]!.up,
    down: below + parts.at(-1)!.down,
    svg: (x, y) =>
      parts
        .map((part, k) => {
          const start = x + 2 * radius;
          const down = offsets[k]!;
          const rest = inner - part.width;
          const own = part.svg(start, y + down) + line(start + part.width, y + down, rest);
          if (k === 0) return line(x, y, 2 * radius) + own + line(start + inner, y, 2 * radius);
          const fall = `M${round(x)} ${round(y)}q${radius} 0 ${radius} ${radius}v${round(down - 2 * radius)}q0 ${radius} ${radius} ${radius}`;
          const rise = `M${round(start + inner)} ${round(y + down)}q${radius} 0 ${radius} ${-radius}v${round(2 * radius - down)}q0 ${-radius} ${radius} ${-radius}`;
          return `<path d="${fall}${rise}"/>${own}`;
        })
        .join(''),
  };
}

/** The part on the line, the way back below it. */
function loop(part: Drawing, between: Drawing): Drawing {
  const inner = Math.max(part.width, between.width);
  const width = inner + 4 * radius;
  const below = Math.max(part.down + between.up + gap, 2 * radius);
  return {
    width,
    up: part.up,
    down: below + between.down,
    svg: (x, y) => {
      const start = x + 2 * radius;
      const end = start + inner;
      const back = start + (inner - between.width) / 2;
      const turn = round(below - 2 * radius);
      const right = `M${round(end)} ${round(y)}q${radius} 0 ${radius} ${radius}v${turn}q0 ${radius} ${-radius} ${radius}`;
      const left = `M${round(start)} ${round(y + below)}q${-radius} 0 ${-radius} ${-radius}v${-turn}q0 ${-radius} ${radius} ${-radius}`;
      const path = `<path d="${right}${left}"/>`;
      const returns =
        line(start, y + below, back - start) +
        between.svg(back, y + below) +
        line(back + between.width, y + below, end - back - between.width);
      const own = part.svg(start, y) + line(start + part.width, y, inner - part.width);
      return line(x, y, 2 * radius) + own + line(end, y, 2 * radius) + path + returns;
    },
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

export function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
