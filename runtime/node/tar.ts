// Just enough tar (POSIX ustar) to unpack a small archive held in memory.

/** One regular file of an archive. */
export interface TarFile {
  readonly name: string;
  readonly data: Uint8Array;
}

const BLOCK = 512; // bytes; headers and contents are padded to whole blocks

/** The regular files of a tar archive; throws a RangeError where the archive is cut short. */
export function readTar(archive: Uint8Array): readonly TarFile[] {
  const files: TarFile[] = [];
  let at = 0;
  while (at + BLOCK <= archive.length) {
    const header = archive.subarray(at, at + BLOCK);
    if (header[0] === 0) break; // two empty blocks end the archive
    const size = Number.parseInt(text(header, 124, 12), 8);
    const start = at + BLOCK;
    if (!(start + size <= archive.length)) throw new RangeError('the tar archive is cut short');
    const kind = String.fromCharCode(header[156] ?? 0);
    if (kind === '0' || kind === '\0') {
      const prefix = text(header, 345, 155);
      const name = text(header, 0, 100);
      files.push({ name: prefix ? `${prefix}/${name}` : name, data: archive.subarray(start, start + size) });
    }
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}

/** A header field: up to the first NUL, without padding blanks. */
function text(header: Uint8Array, offset: number, length: number): string {
  const field = header.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return Buffer.from(end < 0 ? field : field.subarray(0, end))
    .toString('latin1')
    .trim();
}
