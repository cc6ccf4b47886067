import type { FileHandle } from 'node:fs/promises';

/** Long reads and writes at a position, in pieces, several at a time: one thread seldom keeps a fast disk busy. */

const PIECE = 2 ** 24;
/** As many as Node's pool has threads. */
const AT_ONCE = 4;

/** Fills `into` from byte `position` on; false if the file ends before. */
export async function readAt(file: FileHandle, into: Uint8Array, position: number): Promise<boolean> {
  return eachPiece(into, async (piece, at) => {
    for (let done = 0; done < piece.length;) {
      const { bytesRead } = await file.read(piece, done, piece.length - done, position + at + done);
      if (bytesRead === 0) return false;
      done += bytesRead;
    }
    return true;
  });
}

export async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  await eachPiece(bytes, async (piece, at) => {
    for (let done = 0; done < piece.length;) {
      const { bytesWritten } = await file.write(piece, done, piece.length - done, position + at + done);
      done += bytesWritten;
    }
    return true;
  });
}

/** True if `use` said so of every piece. When one fails, none is left under way. */
async function eachPiece(
  bytes: Uint8Array,
  use: (piece: Uint8Array, at: number) => Promise<boolean>,
): Promise<boolean> {
  let next = 0;
  let whole = true;
  const worker = async (): Promise<void> => {
    while (next < bytes.length && whole) {
      const at = next;
      next += PIECE;
      try {
        if (!(await use(bytes.subarray(at, at + PIECE), at))) whole = false;
      } catch (error) {
        whole = false;
        throw error;
      }
    }
  };
  const count = Math.min(AT_ONCE, Math.ceil(bytes.length / PIECE));
  const ended = await Promise.allSettled(Array.from({ length: count }, worker));
  for (const e of ended) if (e.status === 'rejected') throw e.reason;
  return whole;
}
