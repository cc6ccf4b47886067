// Devices in Node: `import { openDevice } from 'attnc/node'`. Nothing in here is needed in a browser.

export { openDevice, type OpenedDevice, type OpenOptions } from './open-device.js';
export { listDevices, type DeviceList, type EmptySource, type ListedDevice } from './list-devices.js';
export { nullDevice, validateWgsl, type ValidateOptions, type WgslMessage } from './validate-wgsl.js';
export { FEATURES_OF_INTEREST, LIMITS_OF_INTEREST, type MatrixConfig } from './adapter.js';
export { loadTuned, saveTuned, tunedFile } from './tuned-file.js';
export type { DeviceKind } from './drivers.js';
export type { Toggles } from './toggles.js';
