/** What the processes of a comparison tell the one that started them: a line of JSON each, on standard output. */
export type Message =
  /** About to begin; what comes before the next one is about it. */
  | { readonly kind: 'start'; readonly task: string }
  | { readonly kind: 'result'; readonly task: string; readonly result: unknown }
  /** Not done, and why: the others go on. */
  | { readonly kind: 'failed'; readonly task: string; readonly why: string }
  /** Versions, names and the like. */
  | { readonly kind: 'facts'; readonly facts: Readonly<Record<string, unknown>> };

export function tell(message: Message): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** A line of standard output; undefined where it is something else that a library prints. */
export function messageOf(line: string): Message | undefined {
  if (!line.startsWith('{"kind":')) return undefined;
  try {
    return JSON.parse(line) as Message;
  } catch {
    return undefined;
  }
}

export const oneLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0].slice(0, 300);
