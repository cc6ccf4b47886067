// Checking WGSL without a GPU or a driver, on Dawn's null backend: about 1 ms a shader.

import { openDevice, type OpenedDevice, type OpenOptions } from './open-device.js';

/** A message of Dawn's WGSL compiler; line and column count from 1, 0 where it has no place. */
export interface WgslMessage {
  readonly severity: 'error' | 'warning' | 'info';
  readonly message: string;
  readonly line: number;
  readonly column: number;
}

/** What the shader may use, and how far to check it. */
export interface ValidateOptions {
  /** Features that the shader's `enable` directives need; without it all that the null device has. */
  readonly features?: readonly string[] | 'offered';
  /** Limits that pipelines are checked against; WebGPU's defaults without it. */
  readonly limits?: OpenOptions['limits'];
  /** Entry points to make compute pipelines of (automatic layout), which checks workgroup sizes and memory. */
  readonly entryPoints?: readonly string[];
  /** Values for `override` declarations. */
  readonly constants?: Readonly<Record<string, number>>;
}

/** A device that takes any WGSL and runs nothing. */
export async function nullDevice(options: Omit<OpenOptions, 'device'> = {}): Promise<OpenedDevice> {
  return openDevice({ features: 'offered', ...options, device: 'null' });
}

/** All messages for the shader; it is valid if none is an error. */
export async function validateWgsl(
  code: string,
  options: ValidateOptions = {},
): Promise<readonly WgslMessage[]> {
  const ignore = (): void => undefined; // the same errors come back as messages
  const opened = await nullDevice({
    features: options.features ?? 'offered',
    limits: options.limits,
    onProblem: ignore,
  });
  try {
    const module = opened.device.createShaderModule({ code });
    const info = await module.getCompilationInfo();
    const messages: WgslMessage[] = info.messages.map((found) => ({
      severity: found.type,
      message: found.message,
      line: found.lineNum,
      column: found.linePos,
    }));
    if (messages.some((found) => found.severity === 'error')) return messages;
    for (const entryPoint of options.entryPoints ?? []) {
      const compute = { module, entryPoint, constants: { ...options.constants } };
      await opened.device.createComputePipelineAsync({ layout: 'auto', compute }).catch((error: unknown) => {
        const text = error instanceof Error ? error.message : String(error);
        messages.push({ severity: 'error', message: `${entryPoint}: ${text}`, line: 0, column: 0 });
      });
    }
    return messages;
  } finally {
    opened.close();
  }
}
