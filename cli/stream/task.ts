import { usageError } from '../../runtime/errors.js';
import { fileRows } from '../../runtime/stream/node/file-rows.js';
import type { StreamSources } from '../../runtime/stream/plan.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import type { RowSource } from '../../runtime/stream/rows.js';
import { bytesPerElement } from '../../runtime/tensor.js';
import { openFor } from '../device.js';
import { readInputs, readPlaces, type GivenTensors, type TensorPlace } from '../inputs.js';
import type { Loaded } from '../load.js';
import type { Session } from '../session.js';
import { bytesOfShapes, MOST_MEMORY, taskOf, type Task } from '../work.js';
import { asksForStream, type StreamedOptions } from './options.js';

/** What a streamed run works on: q, k and v are known by their headers only. */

export type Places = ReadonlyMap<string, TensorPlace>;

const NOTHING: GivenTensors = { tensors: new Map(), metadata: {}, files: [] };

/** Tensors of `--input` files that are not read whole; results that came with them are not looked at. */
export const LEFT_OUT = new Set(['q', 'k', 'v', 'out', 'lse']);

/** Bytes that every device binds. */
const BOUND_EVERYWHERE = 2 ** 27;

/** Where the run has to be streamed, or is asked to be, the places of its tensors. */
export async function placesToStream(
  session: Session,
  loaded: Loaded,
  options: StreamedOptions,
): Promise<Places | undefined> {
  const places = await readPlaces(options.input ?? []);
  if (asksForStream(options)) return places;
  // Such a program can't: that is told where it is run.
  if (loaded.kind === 'program' && !loaded.program.windows) return undefined;
  const { shapes } = taskOf(loaded, options, NOTHING, places);
  if (Object.values(shapes).some((s) => (s as readonly number[]).length !== 4)) return undefined;
  const input = bytesPerElement[places.get('q')?.dtype ?? options.dtype ?? 'f32'];
  const sizes = Object.values(bytesOfShapes(shapes, input, bytesPerElement[options.outDtype ?? 'f32']));
  if (sizes.reduce((a, b) => a + b, 0) > MOST_MEMORY) return places;
  const largest = Math.max(...sizes);
  if (largest <= BOUND_EVERYWHERE) return undefined;
  const { device, close } = await openFor(session, options.device);
  const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
  close();
  return largest > Math.min(maxStorageBufferBindingSize, maxBufferSize) ? places : undefined;
}

/** Reads tables, and no more of q, k and v than there is in `places`. */
export async function streamTask(loaded: Loaded, options: StreamedOptions, places: Places): Promise<Task> {
  const task = taskOf(loaded, options, await readInputs(options.input ?? [], LEFT_OUT), places);
  if (!task.hasTensors && !options.random) {
    throw usageError('--input holds no q, k and v', 'add the file that does, or --random --length N');
  }
  return task;
}

/** Rows of q, k and v out of their files, or made up. To be closed. */
export async function openSources(
  task: Task,
  places: Places,
  options: StreamedOptions,
): Promise<StreamSources> {
  const opened: RowSource[] = [];
  const open = async (name: 'q' | 'k' | 'v'): Promise<RowSource> => {
    const place = places.get(name);
    const source = place
      ? await fileRows(place.file, place.tensor)
      : randomRows(name, options.dtype ?? 'f32', task.shapes[name], task.seed);
    opened.push(source);
    return source;
  };
  try {
    return { q: await open('q'), k: await open('k'), v: await open('v') };
  } catch (error) {
    for (const source of opened) await source.close();
    throw error;
  }
}

export async function closeSources({ q, k, v }: StreamSources): Promise<void> {
  for (const source of [q, k, v]) await source.close();
}
