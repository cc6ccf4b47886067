// Bytes to and from a device, for tests of what fills and reads buffers.

// WebGPU's constants, which Node has no globals for.
const MAP_READ = 0x1;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const STORAGE = 0x80;
const MODE_READ = 0x1;

export function bufferOf(device: GPUDevice, bytes: Uint8Array): GPUBuffer {
  const buffer = device.createBuffer({ size: bytes.byteLength, usage: STORAGE | COPY_SRC | COPY_DST });
  device.queue.writeBuffer(buffer, 0, Uint8Array.from(bytes));
  return buffer;
}

export async function bytesIn(device: GPUDevice, buffer: GPUBuffer): Promise<Uint8Array> {
  const back = device.createBuffer({ size: buffer.size, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, back, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await back.mapAsync(MODE_READ);
  const bytes = new Uint8Array(back.getMappedRange().slice(0));
  back.destroy();
  return bytes;
}
