/** Mutated files: the parser takes anything, and says where it went wrong. */
import test from 'ava';
import { parse, print, type Span } from '../../grammar/index.js';
import { corpus, withoutSpans } from './corpus.js';

const runs = 20_000;
/** Longer files are cut, so that each run is short. */
const longest = 1500;

/** mulberry32: the same numbers everywhere. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const pieces =
  'pattern import when in step let restrict include for overlaps score mix input tokens align and or not div true zip i j i->j -> a: { } ( ) [ ] , ; : ? = == != < <= > >= + - * ** / % .. ..< . " // /// /* */ 0 1.5 0x1F 1e9 9e999 99999999999999999999 && || ! => @ \0 \ud800 é 🙂 \n'.split(
    ' ',
  );

function mutate(texts: readonly string[], random: (below: number) => number): string {
  let text = texts[random(texts.length)]!;
  if (text.length > longest) {
    const start = random(text.length - longest);
    text = text.slice(start, start + longest);
  }
  for (let count = 1 + random(4); count > 0; count--) {
    const at = random(text.length + 1);
    const to = Math.min(text.length, at + random(20));
    switch (random(7)) {
      case 0: // another character
        text =
          text.slice(0, at) +
          String.fromCharCode(random(random(4) === 0 ? 0x10000 : 128)) +
          text.slice(at + 1);
        break;
      case 1: // a flipped bit
        text =
          text.slice(0, at) +
          String.fromCharCode((text.charCodeAt(at) || 0) ^ (1 << random(8))) +
          text.slice(at + 1);
        break;
      case 2:
        text = text.slice(0, at) + text.slice(to);
        break;
      case 3: // said twice
        text = text.slice(0, to) + text.slice(at, to) + text.slice(to);
        break;
      case 4: // a token from the list
        text = `${text.slice(0, at)} ${pieces[random(pieces.length)]!} ${text.slice(at)}`;
        break;
      case 5: // a piece of another file
        {
          const other = texts[random(texts.length)]!;
          const start = random(other.length + 1);
          text = text.slice(0, at) + other.slice(start, start + random(60)) + text.slice(to);
        }
        break;
      case 6:
        text = text.slice(0, at);
        break;
    }
  }
  return text;
}

/** All spans of a value. */
function* spansOf(value: unknown): Generator<Span> {
  if (typeof value !== 'object' || value === null) return;
  if ('start' in value && 'end' in value) yield value as Span;
  else for (const part of Object.values(value)) yield* spansOf(part);
}

test(`${runs} mutated files`, (t) => {
  t.timeout(300_000);
  const texts = corpus().filter((text) => text.length > 0);
  const random = randomNumbers(0x5eed);
  let broken = 0;
  for (let run = 0; run < runs; run++) {
    const text = mutate(texts, random);
    const show = `run ${run}: ${JSON.stringify(text)}`;
    const { ast, diagnostics } = parse({ file: 'x', text });
    let last = 0;
    for (const span of [...spansOf(diagnostics), ...spansOf(ast)]) {
      if (!(span.start >= 0 && span.start <= span.end && span.end <= text.length)) throw new Error(show);
    }
    for (const { span, message } of diagnostics) {
      if (span!.start < last || /undefined|NaN|object/.test(message.replaceAll(/`[^`]*`/g, '')))
        throw new Error(`${message}\n${show}`);
      last = span!.start;
    }
    if (diagnostics.length > 0) {
      broken++;
      continue;
    }
    const again = parse({ file: 'x', text: print(ast) });
    if (again.diagnostics.length > 0 || withoutSpans(again.ast) !== withoutSpans(ast))
      throw new Error(`printed otherwise, ${show}`);
  }
  t.log(`${broken} of ${runs} were broken`);
  // Both sorts must have been tried.
  t.true(broken > runs / 4 && broken < runs);
});
