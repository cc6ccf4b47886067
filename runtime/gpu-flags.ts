/** WebGPU's flags: browsers have them as globals, Node does not. */

export const USAGE = {
  mapRead: 0x1,
  mapWrite: 0x2,
  copySrc: 0x4,
  copyDst: 0x8,
  uniform: 0x40,
  storage: 0x80,
} as const;

export const MAP_MODE_READ = 0x1;
export const MAP_MODE_WRITE = 0x2;
export const STAGE_COMPUTE = 0x4;
