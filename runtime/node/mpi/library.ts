// Open MPI's C interface, through koffi. Both are loaded on first use: whoever runs on one GPU needs neither.

import { createRequire } from 'node:module';
import { mpiFailed, noMpi } from './problems.js';

/** The functions that are called, as mpi.h declares them; handles of Open MPI are pointers, its counts are ints. */
const PROTOTYPES = {
  MPI_Initialized: 'int MPI_Initialized(void *flag)',
  MPI_Init_thread: 'int MPI_Init_thread(void *argc, void *argv, int required, void *provided)',
  MPI_Finalize: 'int MPI_Finalize()',
  MPI_Abort: 'int MPI_Abort(void *comm, int status)',
  MPI_Error_string: 'int MPI_Error_string(int code, void *text, void *length)',
  MPI_Comm_set_errhandler: 'int MPI_Comm_set_errhandler(void *comm, void *handler)',
  MPI_Comm_dup: 'int MPI_Comm_dup(void *comm, void *copy)',
  MPI_Comm_split_type: 'int MPI_Comm_split_type(void *comm, int type, int key, void *info, void *part)',
  MPI_Comm_rank: 'int MPI_Comm_rank(void *comm, void *rank)',
  MPI_Comm_size: 'int MPI_Comm_size(void *comm, void *size)',
  MPI_Isend: 'int MPI_Isend(void *from, int n, void *type, int to, int tag, void *comm, void *request)',
  MPI_Irecv: 'int MPI_Irecv(void *into, int n, void *type, int from, int tag, void *comm, void *request)',
  MPI_Iallgather:
    'int MPI_Iallgather(void *from, int n, void *type, void *into, int m, void *type2, void *comm, void *request)',
  MPI_Ibcast: 'int MPI_Ibcast(void *data, int n, void *type, int root, void *comm, void *request)',
  MPI_Ibarrier: 'int MPI_Ibarrier(void *comm, void *request)',
  MPI_Testsome: 'int MPI_Testsome(int n, void *requests, void *count, void *indices, void *statuses)',
  MPI_Get_count: 'int MPI_Get_count(void *status, void *type, void *count)',
  MPI_Cancel: 'int MPI_Cancel(void *request)',
} as const;

/** Constants of C that are the addresses of the library's variables. */
const SYMBOLS = {
  world: 'ompi_mpi_comm_world',
  byte: 'ompi_mpi_byte',
  noInfo: 'ompi_mpi_info_null',
  errorsReturn: 'ompi_mpi_errors_return',
} as const;

/** Open MPI's mpi.h. */
export const MPI = {
  success: 0,
  truncated: 15,
  errorInStatus: 18,
  threadFunneled: 1,
  anySource: -1,
  typeShared: 0,
  /** Bytes of an MPI_Status: three ints (source, tag, error), then what is its own. */
  statusBytes: 24,
} as const;

type Functions = {
  readonly [K in keyof typeof PROTOTYPES]: (...args: readonly (number | bigint)[]) => number;
};
type Symbols = { readonly [K in keyof typeof SYMBOLS]: bigint };

/** The loaded library. Functions return MPI's error codes and throw nothing; `check` throws for them. */
export interface Mpi extends Functions, Symbols {
  /** Where the view's bytes lie. It stays true for as long as the view is reachable and its buffer isn't detached. */
  addressOf(view: ArrayBufferView): bigint;
  /** Throws the typed error for a code other than success; `what` names what was tried. */
  check(what: string, code: number): void;
  reasonOf(code: number): string;
}

/** What is used of koffi; its own types would make it a dependency of ours at compile time. */
interface Koffi {
  load(path: string, options: { readonly global: boolean }): Library;
  address(view: ArrayBufferView): bigint;
}
interface Library {
  func(prototype: string): (...args: readonly (number | bigint)[]) => number;
  symbol(name: string): bigint;
}

export interface LibraryNames {
  readonly koffi: string;
  readonly mpi: readonly string[];
}

const NAMES: LibraryNames = { koffi: 'koffi', mpi: ['libmpi.so.40', 'libmpi.so'] };

/** Loads koffi, then Open MPI with it; typed errors where either isn't there. `names` is for tests. */
export function loadMpi(names: LibraryNames = NAMES): Mpi {
  const koffi = loadKoffi(names.koffi);
  const library = loadLibrary(koffi, names.mpi);
  const functions = entries(PROTOTYPES).map(([name, prototype]) => [name, library.func(prototype)]);
  const symbols = entries(SYMBOLS).map(([key, name]) => [key, library.symbol(name)]);
  const { MPI_Error_string: errorString } = Object.fromEntries(functions) as Functions;

  const addressOf = (view: ArrayBufferView): bigint => {
    if (view.byteLength === 0) return 0n;
    // V8 keeps the bytes of small arrays inside of objects that its collector moves, until `buffer` is asked for.
    void view.buffer;
    return koffi.address(view);
  };
  const reasonOf = (code: number): string => {
    const text = new Uint8Array(512);
    const length = new Int32Array(1);
    if (errorString(code, addressOf(text), addressOf(length)) !== MPI.success) return `error ${code}`;
    return new TextDecoder().decode(text.subarray(0, length[0]));
  };
  return {
    ...(Object.fromEntries(functions) as Functions),
    ...(Object.fromEntries(symbols) as Symbols),
    addressOf,
    reasonOf,
    check: (what, code) => {
      if (code !== MPI.success) throw mpiFailed(what, code, reasonOf(code));
    },
  };
}

const entries = <K extends string>(record: Readonly<Record<K, string>>): [K, string][] =>
  Object.entries(record) as [K, string][];

function loadKoffi(name: string): Koffi {
  try {
    return createRequire(import.meta.url)(name) as Koffi;
  } catch (cause) {
    const why = 'the npm package koffi, through which it is called, is not installed';
    throw noMpi(why, 'npm install koffi', cause);
  }
}

function loadLibrary(koffi: Koffi, names: readonly string[]): Library {
  const reasons: string[] = [];
  for (const name of names) {
    try {
      // Global, as a C program has it: parts that Open MPI loads later may look there for its symbols.
      const library = koffi.load(name, { global: true });
      library.symbol(SYMBOLS.world);
      return library;
    } catch (error) {
      reasons.push(`${name}: ${firstLine(error)}`);
    }
  }
  throw noMpi(
    `there is no Open MPI library (${reasons.join('; ')})`,
    'install Open MPI 4 (Debian and Ubuntu: apt-get install openmpi-bin)',
  );
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
