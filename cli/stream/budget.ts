import { totalmem } from 'node:os';
import type { DeviceKind } from '../../runtime/node/index.js';
import type { BudgetOptions } from './options.js';

/** How much memory a streamed run takes where nobody says. */

export interface Budget {
  readonly deviceBytes: number;
  readonly hostBytes: number;
  readonly bindingBytes: number | undefined;
}

const DEVICE = 2 ** 32;
const HOST = 2 ** 30;

/** Devices in software have the machine's own memory. */
export function budgetOf(options: BudgetOptions, kind: DeviceKind | undefined): Budget {
  const own = kind === 'swiftshader' || kind === 'lavapipe' ? totalmem() / 8 : Infinity;
  return {
    deviceBytes: options.memory ?? Math.min(DEVICE, Math.floor(own)),
    hostBytes: options.hostMemory ?? Math.min(HOST, Math.floor(totalmem() / 8)),
    bindingBytes: options.binding,
  };
}
