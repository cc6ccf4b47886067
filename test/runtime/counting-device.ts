// A device that counts the buffers made and destroyed, and fails on demand.

export interface Faults {
  /** createBuffer throws as browsers do when memory for a mapping cannot be had. */
  mappingFails?: boolean;
  /** Scopes for memory report an error. */
  memoryFails?: boolean;
}

export interface CountingDevice {
  readonly device: GPUDevice;
  /** Labels of the buffers that were made and not destroyed. */
  live(): readonly string[];
  readonly made: () => number;
  readonly faults: Faults;
}

export function countingDevice(real: GPUDevice): CountingDevice {
  const live = new Set<GPUBuffer>();
  const faults: Faults = {};
  const scopes: string[] = [];
  let made = 0;
  const createBuffer = (descriptor: GPUBufferDescriptor): GPUBuffer => {
    if (faults.mappingFails && descriptor.mappedAtCreation) throw new RangeError('no memory for the mapping');
    const buffer = real.createBuffer(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    made++;
    live.add(buffer);
    Object.defineProperty(buffer, 'destroy', {
      value: () => {
        live.delete(buffer);
        destroy();
      },
    });
    return buffer;
  };
  const own: Record<string, unknown> = {
    createBuffer,
    pushErrorScope: (filter: GPUErrorFilter) => {
      scopes.push(filter);
      real.pushErrorScope(filter);
    },
    popErrorScope: async () => {
      const filter = scopes.pop();
      const error = await real.popErrorScope();
      return faults.memoryFails && filter === 'out-of-memory' ? { message: 'no memory left' } : error;
    },
  };
  const device = new Proxy(real, {
    get: (target, name) => {
      if (typeof name === 'string' && name in own) return own[name];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { device, live: () => [...live].map((b) => b.label), made: () => made, faults };
}
