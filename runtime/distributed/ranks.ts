/** What a distributed run asks of the processes that take part in it; runtime/node/mpi has it over Open MPI. */
export interface Ranks {
  readonly rank: number;
  /** Number of ranks. */
  readonly size: number;
  /** Everybody's bytes, in the order of ranks. All ranks call it, in the same order as `barrier`. */
  allGather(bytes: Uint8Array): Promise<readonly Uint8Array[]>;
  barrier(): Promise<void>;
  /**
   * Messages between two ranks under one tag arrive in the order in which they were sent. The bytes must stay as they
   * are, and attached, until the message is done. The receiver knows the length.
   */
  send(to: number, tag: number, bytes: Uint8Array): { readonly done: Promise<void> };
  receive(from: number, tag: number, into: Uint8Array): { readonly done: Promise<void> };
}

/** Everybody's value, in the order of ranks: plain data. */
export async function gatherValues<T>(ranks: Pick<Ranks, 'allGather'>, value: T): Promise<readonly T[]> {
  const all = await ranks.allGather(new TextEncoder().encode(JSON.stringify(value)));
  return all.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as T);
}
