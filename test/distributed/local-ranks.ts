/** Ranks that are all in this process, for tests: messages are copied from one to the other. */
import type { Ranks } from '../../runtime/distributed/index.js';

export interface LocalRanks {
  readonly ranks: readonly Ranks[];
  /** Bytes sent so far, by sender and receiver. */
  readonly sent: readonly (readonly number[])[];
}

interface Waiting {
  readonly bytes: Uint8Array;
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

export function localRanks(size: number): LocalRanks {
  const sent = Array.from({ length: size }, () => new Array<number>(size).fill(0));
  const lines = new Map<string, { readonly sends: Waiting[]; readonly receives: Waiting[] }>();
  const meet = (key: string): void => {
    const line = lines.get(key)!;
    while (line.sends.length > 0 && line.receives.length > 0) {
      const [from, into] = [line.sends.shift()!, line.receives.shift()!];
      if (from.bytes.length !== into.bytes.length) {
        into.failed(new Error(`${key}: ${from.bytes.length} bytes, not ${into.bytes.length}`));
        continue;
      }
      into.bytes.set(from.bytes);
      from.done();
      into.done();
    }
  };
  const post = (key: string, kind: 'sends' | 'receives', bytes: Uint8Array): Promise<void> =>
    new Promise((done, failed) => {
      const line = lines.get(key) ?? { sends: [], receives: [] };
      lines.set(key, line);
      line[kind].push({ bytes, done, failed });
      // Not at once: the bytes must stay as they are until then.
      setTimeout(() => meet(key), 1);
    });

  let gathering:
    { readonly parts: Uint8Array[]; readonly resolve: ((all: Uint8Array[]) => void)[] } | undefined;
  const allGather = (rank: number, bytes: Uint8Array): Promise<readonly Uint8Array[]> =>
    new Promise((resolve) => {
      const turn = (gathering ??= { parts: [], resolve: [] });
      if (turn.parts[rank]) throw new Error(`rank ${rank} gathers twice`);
      turn.parts[rank] = bytes;
      turn.resolve.push(resolve);
      if (turn.resolve.length < size) return;
      gathering = undefined;
      for (const tell of turn.resolve) tell(turn.parts);
    });
  const ranks = Array.from({ length: size }, (_, rank): Ranks => ({
    rank,
    size,
    allGather: (bytes) => allGather(rank, bytes),
    barrier: async () => void (await allGather(rank, new Uint8Array(0))),
    send: (to, tag, bytes) => {
      sent[rank][to] += bytes.length;
      return { done: post(`${rank} to ${to}, ${tag}`, 'sends', bytes) };
    },
    receive: (from, tag, into) => ({ done: post(`${from} to ${rank}, ${tag}`, 'receives', into) }),
  }));
  return { ranks, sent };
}
