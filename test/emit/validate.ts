// Shaders on Dawn's null backend: valid WGSL with the features that their variants ask for, within their limits.

import { nullDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { workgroupBytes, type ShaderOf } from './shaders.js';

/** Pipelines can be made within these limits, which are WebGPU's defaults; the null device offers no more. */
const MOST_WORKGROUP_BYTES = 16384;

export interface Validator {
  /** What is wrong with a shader; empty if nothing is. */
  readonly problemsOf: (shader: ShaderOf) => Promise<readonly string[]>;
  readonly close: () => void;
}

/** Keeps a device for each set of features. */
export function validator(): Validator {
  const devices = new Map<string, Promise<OpenedDevice>>();
  const deviceFor = (features: readonly string[]): Promise<OpenedDevice> => {
    const key = features.join();
    const known = devices.get(key) ?? nullDevice({ features, onProblem: () => undefined });
    devices.set(key, known);
    return known;
  };
  return {
    problemsOf: async ({ kernel, variant, types, code, limits }) => {
      const at = `${kernel.name} (${variant.family}, ${types})`;
      const bytes = workgroupBytes(code);
      const most = limits.maxComputeWorkgroupStorageSize;
      if (bytes > most) return [`${at}: ${bytes} bytes of workgroup memory, ${most} asked for`];
      const { device } = await deviceFor(variant.features);
      const module = device.createShaderModule({ code });
      const { messages } = await module.getCompilationInfo();
      if (messages.length > 0) {
        const line = (n: number): string => code.split('\n')[n - 1] ?? '';
        return messages.map((m) => `${at}:${m.lineNum}:${m.linePos} ${m.message} in ${line(m.lineNum)}`);
      }
      // The null device lists no matrices, so that there are no pipelines with them.
      if (bytes > MOST_WORKGROUP_BYTES || code.includes('subgroup_matrix')) return [];
      const compute = { module, entryPoint: kernel.entry };
      try {
        await device.createComputePipelineAsync({ layout: 'auto', compute });
        return [];
      } catch (error) {
        return [`${at}: ${error instanceof Error ? error.message : String(error)}`];
      }
    },
    close: () => {
      for (const opened of devices.values()) void opened.then((o) => o.close());
    },
  };
}
