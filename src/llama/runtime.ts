/** Which GPU runtimes this machine has, asked of the dynamic loader itself (milliseconds, no driver is started). */
import koffi from './ffi.js'
import type { Gpu } from './locate.js'

const names: Record<string, { cuda: string[][]; vulkan: string[][] }> = {
  linux: {
    cuda: [
      ['libcuda.so.1'],
      ['libcudart.so.13', 'libcudart.so.12', 'libcudart.so.11'],
      ['libcublas.so.13', 'libcublas.so.12', 'libcublas.so.11']
    ],
    vulkan: [['libvulkan.so.1', 'libvulkan.so']]
  },
  win32: {
    cuda: [
      ['nvcuda.dll'],
      ['cudart64_13.dll', 'cudart64_12.dll', 'cudart64_110.dll'],
      ['cublas64_13.dll', 'cublas64_12.dll', 'cublas64_11.dll']
    ],
    vulkan: [['vulkan-1.dll']]
  }
}

/**
 * GPUs whose driver and runtime libraries can be loaded, in node-llama-cpp's order of preference. The rule is that of
 * its detection: CUDA needs the driver, cudart and cublas; Vulkan needs its loader; Apple Silicon has Metal.
 */
export function presentGpus(
  platform: string = process.platform,
  arch: string = process.arch,
  loads: (library: string) => boolean = canLoad
): Gpu[] {
  if (platform === 'darwin') return arch === 'arm64' ? ['metal'] : []
  const known = names[platform]
  if (!known) return []
  const all = (groups: string[][]) => groups.every(group => group.some(loads))
  return (['cuda', 'vulkan'] as const).filter(gpu => all(known[gpu]))
}

function canLoad(library: string): boolean {
  try {
    koffi.load(library, { lazy: true })
    return true
  } catch {
    return false
  }
}
