import Type from 'typebox'
import { auto, countOrAuto, countOrNone, oneOf, setting } from '../setting.js'

const cacheType = oneOf('f32', 'f16', 'bf16', 'q8_0', 'q5_1', 'q5_0', 'q4_1', 'q4_0', 'iq4_nl')

export const speedSettings = {
  ctxSize: setting({
    schema: Type.Union([countOrNone, auto]),
    default: 'auto',
    group: 'Memory and speed',
    value: 'N',
    flags: ['-c'],
    help: "Cells (tokens) of the pool that all requests share. One request may use as much of it as the model was trained for. auto: what the machine's free memory allows, within reason; 0: the model's training context."
  }),
  parallel: setting({
    schema: countOrAuto,
    default: 'auto',
    group: 'Memory and speed',
    value: 'N',
    flags: ['-np'],
    synonyms: { '-1': 'auto' },
    help: 'Most streams that run at the same time; more wait in the queue. auto: 16, fewer where the pool is small.'
  }),
  batchSize: setting({
    schema: Type.Integer({ minimum: 32, maximum: 16_384 }),
    default: 512,
    group: 'Memory and speed',
    value: 'N',
    flags: ['-b'],
    help: 'Most tokens computed in one step, prompts and running streams together.'
  }),
  threads: setting({
    schema: Type.Union([Type.Integer({ minimum: 1, maximum: 512 }), auto]),
    default: 'auto',
    group: 'Memory and speed',
    value: 'N',
    flags: ['-t'],
    synonyms: { '-1': 'auto' },
    help: 'Threads that compute on the CPU. auto: performance cores minus one. More threads than free cores make it very slow.'
  }),
  gpuLayers: setting({
    schema: Type.Union([countOrNone, auto, Type.Literal('all')]),
    default: 'auto',
    group: 'Memory and speed',
    value: 'N',
    flags: ['-ngl', '--n-gpu-layers'],
    synonyms: { '-1': 'auto' },
    help: 'Layers of the model kept on the GPU: a number, auto (as many as fit) or all.'
  }),
  cacheTypeK: setting({
    schema: cacheType,
    default: 'f16',
    group: 'Memory and speed',
    value: 'TYPE',
    flags: ['-ctk'],
    help: 'Number format of the keys in the pool. q8_0 takes half the memory of f16, but makes prompts slower on a CPU.'
  }),
  cacheTypeV: setting({
    schema: cacheType,
    default: 'f16',
    group: 'Memory and speed',
    value: 'TYPE',
    flags: ['-ctv'],
    help: 'Number format of the values in the pool. Anything below f16 needs flash attention.'
  }),
  flashAttn: setting({
    schema: oneOf('auto', 'on', 'off'),
    default: 'auto',
    group: 'Memory and speed',
    value: 'on|off|auto',
    flags: ['-fa'],
    help: 'Flash attention.'
  }),
  loadMode: setting({
    schema: oneOf('auto', 'none', 'mmap', 'mlock', 'mmap+mlock'),
    default: 'auto',
    group: 'Memory and speed',
    value: 'MODE',
    flags: ['-lm'],
    help: 'How the weights are brought in: read into memory (none), or mapped. auto: read where they are computed on the CPU and take little of its memory, which is faster and survives a change of the file.'
  }),
  lanes: setting({
    schema: oneOf('auto', 'off'),
    default: 'auto',
    group: 'Memory and speed',
    value: 'auto|off',
    help: 'Whether a CPU computes next tokens, and prompts among many other streams, on copies of their own: up to 4,096 tokens a stream and 256 MiB together, a prompt of up to 8,192 tokens and 64 MiB. On Linux streams then go on while a prompt is computed. auto: where cells are small enough.'
  }),
  blockSize: setting({
    schema: Type.Integer({ minimum: 1, maximum: 4096 }),
    default: 64,
    group: 'Memory and speed',
    value: 'N',
    help: 'Tokens in a block, the unit in which the pool is reported.'
  }),
  reproducible: setting({
    schema: Type.Boolean(),
    default: false,
    group: 'Memory and speed',
    help: 'Compute every prompt in the same steps whether it is cached or not, so that equal requests get equal answers. Slower.'
  }),
  targetItl: setting({
    schema: Type.Integer({ minimum: 1, maximum: 60_000 }),
    default: 100,
    group: 'Memory and speed',
    value: 'MS',
    help: 'The gap between two tokens that steps are sized for while a long prompt is taken in beside running streams, milliseconds. Smaller: steadier streams, slower prompts.'
  })
}
