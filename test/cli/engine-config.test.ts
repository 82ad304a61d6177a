import t from 'tap'
import { engineConfig, modelName } from '../../src/cli/engine-config.js'
import { loadConfig } from '../../src/config.js'

const model = { weights: 3e7, fixed: 1e8, perCell: 5000, trainingContext: 2048 }
const machine = { memory: 24e9, gpuMemory: null, cores: 8 }
const of = (...argv: string[]) => engineConfig(loadConfig(argv, {}), '/m.gguf', model, machine)

t.test('what is auto is decided from the figures', async t => {
  t.match(of(), { model: '/m.gguf', contextCells: 32_768, parallel: 16, threads: 7, maxQueuedTokens: null })
})

t.test('what is said is taken', async t => {
  const config = of('-c', '1024', '-np', '3', '-t', '2', '--max-queued-tokens', '9', '-ngl', '5')
  t.match(config, { contextCells: 1024, parallel: 3, threads: 2, maxQueuedTokens: 9, gpuLayers: 5 })
  t.equal(of('-c', '1024').parallel, 2, 'streams follow the pool')
  t.match(
    of('-c', '0'),
    { contextCells: 0, parallel: 4 },
    '0: the training context, which the library fills in'
  )
})

t.test('names of models', async t => {
  t.equal(modelName('a/b.GGUF', '/x/a/b.GGUF'), 'b')
  t.equal(modelName('hf:Qwen/Qwen3-8B-GGUF:Q4_K_M', '/cache/hf_Qwen_x.gguf'), 'Qwen/Qwen3-8B-GGUF:Q4_K_M')
  t.equal(modelName('hf:Qwen/Qwen3-8B-GGUF/f.gguf', '/cache/f.gguf'), 'f')
  t.equal(modelName('https://host/f.gguf', '/cache/f.gguf'), 'f')
})
