/** File lists of platform packages as npm delivers them (`npm pack`), below `bins`. */
export const packageListings: Record<string, { version: string; files: string[] }> = {
  'linux-x64': {
    version: '3.22.1',
    files: [
      'linux-x64/_nlcBuildMetadata.json',
      'linux-x64/libggml-base.so',
      'linux-x64/libggml-cpu-alderlake.so',
      'linux-x64/libggml-cpu-cannonlake.so',
      'linux-x64/libggml-cpu-cascadelake.so',
      'linux-x64/libggml-cpu-cooperlake.so',
      'linux-x64/libggml-cpu-haswell.so',
      'linux-x64/libggml-cpu-icelake.so',
      'linux-x64/libggml-cpu-ivybridge.so',
      'linux-x64/libggml-cpu-piledriver.so',
      'linux-x64/libggml-cpu-sandybridge.so',
      'linux-x64/libggml-cpu-sapphirerapids.so',
      'linux-x64/libggml-cpu-skylakex.so',
      'linux-x64/libggml-cpu-sse42.so',
      'linux-x64/libggml-cpu-x64.so',
      'linux-x64/libggml-cpu-zen4.so',
      'linux-x64/libggml.v0.5.0.so',
      'linux-x64/libllama-common.so',
      'linux-x64/libllama.v0.5.0.so',
      'linux-x64/llama-addon.node'
    ]
  },
  'linux-x64-cuda': {
    version: '3.22.1',
    files: [
      'linux-x64-cuda/_nlcBuildMetadata.json',
      'linux-x64-cuda/libggml-base.so',
      'linux-x64-cuda/libggml-cpu-alderlake.so',
      'linux-x64-cuda/libggml-cpu-cannonlake.so',
      'linux-x64-cuda/libggml-cpu-cascadelake.so',
      'linux-x64-cuda/libggml-cpu-cooperlake.so',
      'linux-x64-cuda/libggml-cpu-haswell.so',
      'linux-x64-cuda/libggml-cpu-icelake.so',
      'linux-x64-cuda/libggml-cpu-ivybridge.so',
      'linux-x64-cuda/libggml-cpu-piledriver.so',
      'linux-x64-cuda/libggml-cpu-sandybridge.so',
      'linux-x64-cuda/libggml-cpu-sapphirerapids.so',
      'linux-x64-cuda/libggml-cpu-skylakex.so',
      'linux-x64-cuda/libggml-cpu-sse42.so',
      'linux-x64-cuda/libggml-cpu-x64.so',
      'linux-x64-cuda/libggml-cpu-zen4.so',
      'linux-x64-cuda/libggml-cuda.so',
      'linux-x64-cuda/libggml.cuda.v0.5.0.so',
      'linux-x64-cuda/libllama-common.so',
      'linux-x64-cuda/libllama.cuda.v0.5.0.so',
      'linux-x64-cuda/llama-addon.node'
    ]
  },
  'linux-x64-cuda-ext': { version: '3.22.1', files: ['linux-x64-cuda/fallback/libggml-cuda.so'] },
  'linux-x64-vulkan': {
    version: '3.22.1',
    files: [
      'linux-x64-vulkan/_nlcBuildMetadata.json',
      'linux-x64-vulkan/libggml-base.so',
      'linux-x64-vulkan/libggml-cpu-alderlake.so',
      'linux-x64-vulkan/libggml-cpu-cannonlake.so',
      'linux-x64-vulkan/libggml-cpu-cascadelake.so',
      'linux-x64-vulkan/libggml-cpu-cooperlake.so',
      'linux-x64-vulkan/libggml-cpu-haswell.so',
      'linux-x64-vulkan/libggml-cpu-icelake.so',
      'linux-x64-vulkan/libggml-cpu-ivybridge.so',
      'linux-x64-vulkan/libggml-cpu-piledriver.so',
      'linux-x64-vulkan/libggml-cpu-sandybridge.so',
      'linux-x64-vulkan/libggml-cpu-sapphirerapids.so',
      'linux-x64-vulkan/libggml-cpu-skylakex.so',
      'linux-x64-vulkan/libggml-cpu-sse42.so',
      'linux-x64-vulkan/libggml-cpu-x64.so',
      'linux-x64-vulkan/libggml-cpu-zen4.so',
      'linux-x64-vulkan/libggml-vulkan.so',
      'linux-x64-vulkan/libggml.vulkan.v0.5.0.so',
      'linux-x64-vulkan/libllama-common.so',
      'linux-x64-vulkan/libllama.vulkan.v0.5.0.so',
      'linux-x64-vulkan/llama-addon.node'
    ]
  },
  'linux-arm64': {
    version: '3.22.1',
    files: [
      'linux-arm64/_nlcBuildMetadata.json',
      'linux-arm64/libggml-base.so',
      'linux-arm64/libggml-cpu-armv8.0_1.so',
      'linux-arm64/libggml-cpu-armv8.2_1.so',
      'linux-arm64/libggml-cpu-armv8.2_2.so',
      'linux-arm64/libggml-cpu-armv8.2_3.so',
      'linux-arm64/libggml-cpu-armv8.6_1.so',
      'linux-arm64/libggml-cpu-armv8.6_2.so',
      'linux-arm64/libggml-cpu-armv9.2_1.so',
      'linux-arm64/libggml-cpu-armv9.2_2.so',
      'linux-arm64/libggml.v0.5.0.so',
      'linux-arm64/libllama-common.so',
      'linux-arm64/libllama.v0.5.0.so',
      'linux-arm64/llama-addon.node'
    ]
  },
  'linux-armv7l': {
    version: '3.22.1',
    files: [
      'linux-armv7l/_nlcBuildMetadata.json',
      'linux-armv7l/libggml-base.so',
      'linux-armv7l/libggml-cpu.so',
      'linux-armv7l/libggml.v0.5.0.so',
      'linux-armv7l/libllama-common.so',
      'linux-armv7l/libllama.v0.5.0.so',
      'linux-armv7l/llama-addon.node'
    ]
  },
  'mac-arm64-metal': {
    version: '3.21.1',
    files: [
      'mac-arm64-metal/_nlcBuildMetadata.json',
      'mac-arm64-metal/libggml-base.dylib',
      'mac-arm64-metal/libggml-blas.so',
      'mac-arm64-metal/libggml-cpu-apple_m1.so',
      'mac-arm64-metal/libggml-cpu-apple_m2_m3.so',
      'mac-arm64-metal/libggml-cpu-apple_m4.so',
      'mac-arm64-metal/libggml-metal.so',
      'mac-arm64-metal/libggml.metal.v0.4.0.dylib',
      'mac-arm64-metal/libllama-common.dylib',
      'mac-arm64-metal/libllama.metal.v0.4.0.dylib',
      'mac-arm64-metal/llama-addon.node'
    ]
  },
  'mac-x64': {
    version: '3.21.1',
    files: [
      'mac-x64/_nlcBuildMetadata.json',
      'mac-x64/libggml-base.dylib',
      'mac-x64/libggml-blas.so',
      'mac-x64/libggml-cpu-alderlake.so',
      'mac-x64/libggml-cpu-cannonlake.so',
      'mac-x64/libggml-cpu-cascadelake.so',
      'mac-x64/libggml-cpu-cooperlake.so',
      'mac-x64/libggml-cpu-haswell.so',
      'mac-x64/libggml-cpu-icelake.so',
      'mac-x64/libggml-cpu-ivybridge.so',
      'mac-x64/libggml-cpu-piledriver.so',
      'mac-x64/libggml-cpu-sandybridge.so',
      'mac-x64/libggml-cpu-sapphirerapids.so',
      'mac-x64/libggml-cpu-skylakex.so',
      'mac-x64/libggml-cpu-sse42.so',
      'mac-x64/libggml-cpu-x64.so',
      'mac-x64/libggml-cpu-zen4.so',
      'mac-x64/libggml.v0.4.0.dylib',
      'mac-x64/libllama-common.dylib',
      'mac-x64/libllama.v0.4.0.dylib',
      'mac-x64/llama-addon.node'
    ]
  },
  'win-x64': {
    version: '3.21.1',
    files: [
      'win-x64/_nlcBuildMetadata.json',
      'win-x64/ggml-base.dll',
      'win-x64/ggml-cpu-alderlake.dll',
      'win-x64/ggml-cpu-cannonlake.dll',
      'win-x64/ggml-cpu-cascadelake.dll',
      'win-x64/ggml-cpu-cooperlake.dll',
      'win-x64/ggml-cpu-haswell.dll',
      'win-x64/ggml-cpu-icelake.dll',
      'win-x64/ggml-cpu-ivybridge.dll',
      'win-x64/ggml-cpu-piledriver.dll',
      'win-x64/ggml-cpu-sandybridge.dll',
      'win-x64/ggml-cpu-sapphirerapids.dll',
      'win-x64/ggml-cpu-skylakex.dll',
      'win-x64/ggml-cpu-sse42.dll',
      'win-x64/ggml-cpu-x64.dll',
      'win-x64/ggml-cpu-zen4.dll',
      'win-x64/ggml.v0.4.0.dll',
      'win-x64/llama-addon.lib',
      'win-x64/llama-addon.node',
      'win-x64/llama-common.dll',
      'win-x64/llama.v0.4.0.dll'
    ]
  },
  'win-x64-vulkan': {
    version: '3.21.1',
    files: [
      'win-x64-vulkan/_nlcBuildMetadata.json',
      'win-x64-vulkan/ggml-base.dll',
      'win-x64-vulkan/ggml-cpu-alderlake.dll',
      'win-x64-vulkan/ggml-cpu-cannonlake.dll',
      'win-x64-vulkan/ggml-cpu-cascadelake.dll',
      'win-x64-vulkan/ggml-cpu-cooperlake.dll',
      'win-x64-vulkan/ggml-cpu-haswell.dll',
      'win-x64-vulkan/ggml-cpu-icelake.dll',
      'win-x64-vulkan/ggml-cpu-ivybridge.dll',
      'win-x64-vulkan/ggml-cpu-piledriver.dll',
      'win-x64-vulkan/ggml-cpu-sandybridge.dll',
      'win-x64-vulkan/ggml-cpu-sapphirerapids.dll',
      'win-x64-vulkan/ggml-cpu-skylakex.dll',
      'win-x64-vulkan/ggml-cpu-sse42.dll',
      'win-x64-vulkan/ggml-cpu-x64.dll',
      'win-x64-vulkan/ggml-cpu-zen4.dll',
      'win-x64-vulkan/ggml-vulkan.dll',
      'win-x64-vulkan/ggml.vulkan.v0.4.0.dll',
      'win-x64-vulkan/llama-addon.lib',
      'win-x64-vulkan/llama-addon.node',
      'win-x64-vulkan/llama-common.dll',
      'win-x64-vulkan/llama.vulkan.v0.4.0.dll'
    ]
  },
  'win-arm64': {
    version: '3.21.1',
    files: [
      'win-arm64/_nlcBuildMetadata.json',
      'win-arm64/ggml-base.dll',
      'win-arm64/ggml-cpu.dll',
      'win-arm64/ggml.v0.4.0.dll',
      'win-arm64/llama-addon.lib',
      'win-arm64/llama-addon.node',
      'win-arm64/llama-common.dll',
      'win-arm64/llama.v0.4.0.dll'
    ]
  }
}
