/** Dispatches that were encoded once and can be encoded again, without what led to them. */
export interface Recording {
  readonly dispatches: number;
  replay(pass: GPUComputePassEncoder): void;
}

/**
 * Keeps what `work` encodes into a compute pass. Planning, uploads and bind groups are then paid once, not in every run
 * that is timed. The buffers it uses must live as long as the recording is replayed.
 */
export function record(work: (pass: GPUComputePassEncoder) => void): Recording {
  const commands: ((pass: GPUComputePassEncoder) => void)[] = [];
  let dispatches = 0;
  // Only what can be asked of a pass between its beginning and its end; encode() asks for no more.
  const recorder = {
    label: 'attnc recording',
    setPipeline: (pipeline: GPUComputePipeline): void => {
      commands.push((p) => p.setPipeline(pipeline));
    },
    setBindGroup: (index: number, group: GPUBindGroup | null, offsets?: Iterable<number>): void => {
      const kept = offsets === undefined ? undefined : [...offsets];
      commands.push((p) => (kept ? p.setBindGroup(index, group, kept) : p.setBindGroup(index, group)));
    },
    dispatchWorkgroups: (x: number, y?: number, z?: number): void => {
      dispatches++;
      commands.push((p) => p.dispatchWorkgroups(x, y ?? 1, z ?? 1));
    },
    dispatchWorkgroupsIndirect: (buffer: GPUBuffer, offset: number): void => {
      dispatches++;
      commands.push((p) => p.dispatchWorkgroupsIndirect(buffer, offset));
    },
    pushDebugGroup: (): void => undefined,
    popDebugGroup: (): void => undefined,
    insertDebugMarker: (): void => undefined,
  };
  work(recorder as unknown as GPUComputePassEncoder);
  return {
    dispatches,
    replay: (pass) => {
      for (const command of commands) command(pass);
    },
  };
}
