// One compute dispatch, for tests: buffers in, one buffer of floats out.

// WebGPU's constants, which Node has no globals for.
const MAP_READ = 0x1;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const STORAGE = 0x80;
const MODE_READ = 0x1;

/** Runs `main` with the inputs at bindings 0, 1, … and an output of `length` floats at the next. */
export async function runCompute(
  device: GPUDevice,
  code: string,
  inputs: readonly Float32Array<ArrayBuffer>[],
  length: number,
  workgroups: number,
): Promise<Float32Array> {
  const buffers = inputs.map((input) => {
    const buffer = device.createBuffer({ size: input.byteLength, usage: STORAGE | COPY_DST });
    device.queue.writeBuffer(buffer, 0, input);
    return buffer;
  });
  const size = length * 4;
  const out = device.createBuffer({ size, usage: STORAGE | COPY_SRC });
  const readback = device.createBuffer({ size, usage: MAP_READ | COPY_DST });

  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
  const entries = [...buffers, out].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(workgroups);
  pass.end();
  encoder.copyBufferToBuffer(out, 0, readback, 0, size);
  device.queue.submit([encoder.finish()]);

  await readback.mapAsync(MODE_READ);
  const result = new Float32Array(readback.getMappedRange().slice(0));
  for (const buffer of [...buffers, out, readback]) buffer.destroy();
  return result;
}
