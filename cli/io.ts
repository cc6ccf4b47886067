/** What a command reads and writes: the process's own streams, or a test's. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  /** All of standard input. */
  readonly stdin: () => Promise<Uint8Array>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Output {
  write(data: string | Uint8Array): void;
  readonly isTTY: boolean;
  /** Width of the terminal, where there is one. */
  readonly columns: number | undefined;
}

/** Are colours wanted on this output? https://no-color.org */
export function hasColor(io: Io, output: Output): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = io.env;
  if (NO_COLOR !== undefined && NO_COLOR !== '') return false;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== '' && FORCE_COLOR !== '0') return true;
  return output.isTTY && TERM !== 'dumb';
}

/**
 * The process's streams. A reader that went away (`attnc … | head`) is no error: what is still written is dropped.
 * Any other failure to write is told once, and `failed` becomes true.
 */
export function processIo(): { readonly io: Io; readonly failed: () => boolean } {
  let failed = false;
  let told = false;
  const wrap = (stream: NodeJS.WriteStream): Output => {
    let gone = false;
    stream.on('error', (error: NodeJS.ErrnoException) => {
      gone = true;
      if (error.code === 'EPIPE') return;
      failed = true;
      process.exitCode = 1;
      if (!told && stream !== process.stderr)
        process.stderr.write(`attnc: cannot write the output: ${error.message}\n`);
      told = true;
    });
    return {
      write: (data) => {
        if (!gone) stream.write(data);
      },
      isTTY: stream.isTTY === true,
      columns: stream.columns,
    };
  };
  const io: Io = {
    stdout: wrap(process.stdout),
    stderr: wrap(process.stderr),
    stdin: readStdin,
    env: process.env,
  };
  return { io, failed: () => failed };
}

async function readStdin(): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of process.stdin) parts.push(part as Uint8Array);
  return Buffer.concat(parts);
}
