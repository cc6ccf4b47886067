/** Reading and writing tensors and graphs, over bytes: nothing here needs Node (runtime/files/node.ts does). */
export { readSafetensors, writeSafetensors } from './safetensors.js';
export type { TensorFile } from './safetensors.js';
export { readNpy, writeNpy } from './npy.js';
export { readMatrixMarket } from './matrix-market.js';
export type { Csr } from './matrix-market.js';
