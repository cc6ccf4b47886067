// Typed errors of a device: it has no memory, binds too little, is lost.

import test from 'ava';
import { openDevice } from '../../runtime/node/index.js';
import { isAttncError, prepare, run } from '../../runtime/index.js';
import { countingDevice } from './counting-device.js';
import { qkv } from './data.js';
import { handProgram, windowProgram } from './hand-program.js';
import { counting, problems, usable } from './watched-device.js';

const small = qkv({ queries: 4 });

test.serial('out-of-memory: the device has none, or the mapping', async (t) => {
  counting.faults.memoryFails = true;
  const scope = await t.throwsAsync(run(counting.device, handProgram(), small));
  counting.faults.memoryFails = false;
  t.true(isAttncError(scope, 'out-of-memory'), String(scope?.stack));
  t.deepEqual(counting.live(), []);
  counting.faults.mappingFails = true;
  const mapping = await t.throwsAsync(run(counting.device, handProgram(), small));
  counting.faults.mappingFails = false;
  t.true(isAttncError(mapping, 'out-of-memory'));
  t.regex(mapping?.message ?? '', /not enough memory for \w+ \(\d+ bytes\)/);
  await usable(t);
});

test.serial('limit-too-small: a tensor past what one binding holds', async (t) => {
  const limits = {
    ...{},
    maxStorageBufferBindingSize: 1024,
    maxBufferSize: 1 << 20,
    minStorageBufferOffsetAlignment: 256,
    minUniformBufferOffsetAlignment: 256,
  };
  const device = new Proxy(counting.device, {
    get: (target, name) => (name === 'limits' ? limits : Reflect.get(target, name, target)),
  });
  const binding = await t.throwsAsync(run(device, handProgram(), qkv({ queries: 17 })));
  t.true(isAttncError(binding, 'limit-too-small'), String(binding?.stack));
  t.regex(
    binding?.message ?? '',
    /maxStorageBufferBindingSize must be at least 1088; the device has 1024; 'q'/,
  );
  limits.maxBufferSize = 512;
  limits.maxStorageBufferBindingSize = 1 << 20;
  const buffer = await t.throwsAsync(run(device, handProgram(), qkv({ queries: 16 })));
  t.regex(buffer?.message ?? '', /maxBufferSize must be at least 1024; the device has 512/);
  await usable(t);
});

test.serial('device-lost: before a run, during it, and after', async (t) => {
  const other = await openDevice({ onProblem: (message) => problems.push(message) });
  const doomed = countingDevice(other.device);
  const program = handProgram();
  await run(doomed.device, program, small);
  const running = run(doomed.device, program, qkv({ heads: 4, queries: 200 }));
  await Promise.resolve();
  setTimeout(() => other.close(), 1);
  const [outcome] = await Promise.allSettled([running]);
  if (outcome.status === 'rejected')
    t.true(isAttncError(outcome.reason, 'device-lost'), String(outcome.reason?.stack));
  const after = await t.throwsAsync(run(doomed.device, program, small));
  t.true(isAttncError(after, 'device-lost'), String(after?.stack));
  const fresh = await t.throwsAsync(
    prepare(doomed.device, windowProgram({ name: 'never compiled here', dim: 32 })),
  );
  t.true(isAttncError(fresh, 'device-lost'), String(fresh?.stack));
  t.deepEqual(doomed.live(), []);
  await usable(t);
});

test.serial('device-lost: while results are awaited', async (t) => {
  const other = await openDevice({ onProblem: (message) => problems.push(message) });
  const doomed = countingDevice(other.device);
  const program = handProgram();
  const prepared = await prepare(doomed.device, program);
  // The device goes as soon as the work is submitted.
  const device = new Proxy(doomed.device, {
    get: (target, name) => {
      if (name !== 'queue') return Reflect.get(target, name, target);
      const { queue } = other.device;
      return {
        writeBuffer: queue.writeBuffer.bind(queue),
        submit: (work: GPUCommandBuffer[]) => {
          queue.submit(work);
          other.close();
        },
      };
    },
  });
  const error = await t.throwsAsync(run(other.device, { ...prepared, device }, small));
  t.true(isAttncError(error, 'device-lost'), String(error?.stack));
  t.deepEqual(doomed.live(), []);
  await usable(t);
});
