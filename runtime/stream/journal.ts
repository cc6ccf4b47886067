import type { StorageTypes } from '../../compiler/ir/program.js';
import { brokenFile, cannotResume } from '../errors.js';
import { sumFromText } from './row-sum.js';
import type { KeptRow, SourceIdentity } from './rows.js';
import type { Band, DoneBand } from './tally.js';

/**
 * The journal of a long run, as text: JSON by lines. The first line says what runs (the identity and the bands), each
 * one after it tells of a band that is finished, in their order.
 */

/** What must be the same when a run goes on: with it and the rows that were read, every band's result is decided. */
export interface RunIdentity {
  /** Hash of the program (`hashText` of packProgram's text). */
  readonly program: string;
  /** Family, schedule and tiling, in words. */
  readonly variant: string;
  readonly device: { readonly name: string; readonly driver: string };
  readonly storage: StorageTypes;
  readonly shapes: Readonly<Record<'q' | 'k' | 'v', readonly number[]>>;
  readonly lengths?: { readonly queries?: readonly number[]; readonly keys?: readonly number[] } | undefined;
  readonly parameters: Readonly<Record<string, number | boolean>>;
  /** Hash of each table and graph. */
  readonly tables: Readonly<Record<string, string>>;
  readonly sources: Readonly<Record<'q' | 'k' | 'v', SourceIdentity>>;
}

/** Plain data, as JSON has it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** SHA-256, 64 hexadecimal digits. */
export async function hashBytes(bytes: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes)));
  return hexOf(digest);
}

export const hashText = (text: string): Promise<string> => hashBytes(new TextEncoder().encode(text));

/** The first line's object; `identity` may be any plain data that is compared part by part. */
export async function journalHead(identity: unknown, bands: readonly Band[]): Promise<Json> {
  const places = bands.map(({ batch, head, lo, hi }) => [batch, head, lo, hi]);
  return {
    format: 'attnc-journal',
    version: 1,
    // Undefined members are not there, as in what is read back.
    identity: JSON.parse(JSON.stringify(identity)) as Json,
    bands: { count: bands.length, hash: await hashText(JSON.stringify(places)) },
  };
}

export function bandLine(
  n: number,
  { sum, lseSum, kept }: Pick<DoneBand, 'sum' | 'lseSum' | 'kept'>,
): string {
  const rows = kept.map(({ row, out, lse }) => ({ row, out: hexOf(out), lse: hexOf(floatBytes(lse)) }));
  return `${JSON.stringify({ band: n, sum, lseSum, ...(rows.length > 0 ? { kept: rows } : {}) })}\n`;
}

export interface ReadJournal {
  readonly done: readonly DoneBand[];
  /** Bytes that hold whole lines: what comes after is torn and goes. */
  readonly length: number;
}

/**
 * Reads a journal and compares it with the run that is to go on. A last line that was cut short is left out.
 * @param file the result's, for messages
 */
export function readJournal(
  bytes: Uint8Array,
  journal: string,
  file: string,
  head: Json,
  bands: readonly Band[],
): ReadJournal {
  const lines = linesOf(bytes);
  const [first, ...rest] = lines;
  const began = first && parseLine(first.bytes);
  if (began === undefined) throw cannotResume(file, `its journal ${journal} has no readable first line`);
  if (!isObject(began) || began.format !== 'attnc-journal')
    throw brokenFile(journal, 'it is not a journal of attnc');
  const differing = differences(began, head);
  if (differing.length > 0) {
    const shown = differing.slice(0, 4).join('; ');
    const more = differing.length > 4 ? `; and ${differing.length - 4} more` : '';
    throw cannotResume(file, `it was begun by another run: ${shown}${more}`, { differing });
  }
  const done: DoneBand[] = [];
  let length = first.end;
  for (const [n, line] of rest.entries()) {
    const read = readBand(line.bytes, n, bands);
    if (read === undefined) {
      if (n === rest.length - 1) break;
      throw brokenFile(journal, `line ${n + 2} is damaged`, { line: n + 2 });
    }
    done.push(read);
    length = line.end;
  }
  return { done, length };
}

/** What differs, each as "device.name was 'A', is 'B'"; objects are compared member by member. */
export function differences(was: Json | undefined, is: Json | undefined, path = ''): readonly string[] {
  if (isObject(was) && isObject(is)) {
    const names = [...new Set([...Object.keys(was), ...Object.keys(is)])];
    return names.flatMap((name) => differences(was[name], is[name], path === '' ? name : `${path}.${name}`));
  }
  if (JSON.stringify(was) === JSON.stringify(is)) return [];
  return [`${path.replace(/^identity\.(run\.)?/, '')} was ${shown(was)}, is ${shown(is)}`];
}

function shown(value: Json | undefined): string {
  if (value === undefined) return 'not there';
  const text = JSON.stringify(value).replaceAll('"', "'");
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
}

interface Line {
  readonly bytes: Uint8Array;
  /** Just past its line end. */
  readonly end: number;
}

/** Whole lines only, and a last one that has no line end. */
function linesOf(bytes: Uint8Array): readonly Line[] {
  const lines: Line[] = [];
  for (let at = 0; at < bytes.length;) {
    const found = bytes.indexOf(0x0a, at);
    // Without its line end a line may be the beginning of a longer one.
    if (found < 0) return [...lines, { bytes: new Uint8Array(0), end: bytes.length }];
    lines.push({ bytes: bytes.subarray(at, found), end: found + 1 });
    at = found + 1;
  }
  return lines;
}

function parseLine(bytes: Uint8Array): Json | undefined {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Json;
  } catch {
    return undefined;
  }
}

/** Band n as its line tells it; undefined where the line is no such thing. */
function readBand(bytes: Uint8Array, n: number, bands: readonly Band[]): DoneBand | undefined {
  const json = parseLine(bytes);
  const band = bands[n];
  if (!isObject(json) || band === undefined || json.band !== n) return undefined;
  const { sum, lseSum, kept = [] } = json;
  if (!isSum(sum) || !(lseSum === undefined || isSum(lseSum)) || !isList(kept)) return undefined;
  const rows = kept.map((k): KeptRow | undefined => {
    if (!isObject(k) || typeof k.row !== 'number') return undefined;
    const out = bytesOfHex(k.out);
    const lse = bytesOfHex(k.lse);
    if (out === undefined || lse?.length !== 4) return undefined;
    return { batch: band.batch, head: band.head, row: k.row, out, lse: new Float32Array(lse.buffer)[0] };
  });
  if (!rows.every((r) => r !== undefined)) return undefined;
  const { batch, head, lo, hi } = band;
  return { batch, head, lo, hi, sum, ...(lseSum !== undefined && { lseSum }), kept: rows };
}

const isSum = (json: Json | undefined): json is string =>
  typeof json === 'string' && sumFromText(json) !== undefined;

const isList = (json: Json): json is readonly Json[] => Array.isArray(json);

function isObject(json: Json | undefined): json is { readonly [name: string]: Json } {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

const floatBytes = (x: number): Uint8Array => new Uint8Array(Float32Array.of(x).buffer);

const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');

function bytesOfHex(text: Json | undefined): Uint8Array<ArrayBuffer> | undefined {
  if (typeof text !== 'string' || !/^([0-9a-f]{2})*$/.test(text)) return undefined;
  return Uint8Array.from({ length: text.length / 2 }, (_, n) => parseInt(text.slice(2 * n, 2 * n + 2), 16));
}
