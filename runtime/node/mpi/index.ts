// Several processes, a GPU each, through Open MPI. Loaded only by what runs distributed.

export { agree, fingerprint, type Facts } from './agree.js';
export { startMpi, type Communicator, type StartOptions } from './communicator.js';
export { chooseDevice, deviceForRank, type RankDevice, type RankView } from './device.js';
export { guardRanks, runRanks, type Reporter } from './guard.js';
export type { Pending } from './messages.js';
