import type { DeviceFunctions } from './library.js'

export interface Device {
  /** `CPU`, or the backend and what it is, e.g. `CUDA: NVIDIA H200`. */
  text: string
  /** Bytes; null when the model computes on the CPU. */
  free: number | null
}

/** Where a model with layers on the GPU will compute: the GPUs found, or the CPU. */
export function computeDevice(devices: DeviceFunctions, wantsGpu: boolean): Device {
  const found: Array<{ text: string; free: number }> = []
  for (let index = 0; wantsGpu && index < devices.count(); index++) {
    const device = devices.get(index)
    const type = devices.type(device)
    if (type !== 1 && type !== 2) continue
    const free = new BigUint64Array(1)
    devices.memory(device, free, new BigUint64Array(1))
    const backend = devices.name(device).replace(/\d+$/, '')
    found.push({
      text: `${backend === 'MTL' ? 'Metal' : backend}: ${devices.description(device)}`,
      free: Number(free[0])
    })
  }
  if (found.length === 0) return { text: 'CPU', free: null }
  const texts = [...new Set(found.map(({ text }) => text))]
  return {
    text: found.length > texts.length ? `${texts.join(', ')} (${found.length} devices)` : texts.join(', '),
    free: found.reduce((sum, { free }) => sum + free, 0)
  }
}
