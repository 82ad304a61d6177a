import path from 'node:path'
import t from 'tap'
import {
  type MachineFigures,
  type ModelFigures,
  planCells,
  planParallel,
  planThreads,
  readMachine,
  readModelFigures
} from '../../src/models/memory.js'
import { packageRoot } from '../../src/root.js'

const GB = 1e9
const machine = (memory: number, gpuMemory: number | null = null): MachineFigures => ({
  memory,
  gpuMemory,
  cores: 8
})
const small: ModelFigures = { weights: 0.03 * GB, fixed: 0.14 * GB, perCell: 7168, trainingContext: 32_768 }
const half: ModelFigures = { weights: 0.4 * GB, fixed: 0.4 * GB, perCell: 15_000, trainingContext: 32_768 }
const eight: ModelFigures = { weights: 4.9 * GB, fixed: 0.6 * GB, perCell: 131_072, trainingContext: 131_072 }

t.test('a small model gets the usual pool, also where memory is plenty', async t => {
  t.equal(planCells(small, machine(3 * GB)), 32_768)
  t.equal(planCells(small, machine(24 * GB)), 32_768)
  t.equal(planCells(half, machine(8 * GB)), 32_768)
})

t.test(
  'an 8B model on a laptop gets what is left for it, and a long context where that is cheap',
  async t => {
    const sixteen = planCells(eight, machine(12 * GB))
    t.ok(sixteen > 16_384 && sixteen < 32_768, String(sixteen))
    const large = planCells(eight, machine(48 * GB))
    t.ok(large > 65_536 && large < 131_072, String(large))
    t.equal(planCells(eight, machine(500 * GB)), 131_072, 'never more than it was trained for')
  }
)

t.test('memory of a GPU counts where the weights fit into it', async t => {
  const onGpu = planCells(eight, machine(500 * GB, 11 * GB))
  t.ok(onGpu < 32_768 && onGpu > 16_384, String(onGpu))
  t.equal(planCells(eight, machine(16 * GB, 79 * GB)), 131_072)
  const split = planCells(eight, machine(16 * GB, 4 * GB))
  t.equal(split, 32_768, 'layers on both sides: both memories')
})

t.test('more memory never means fewer cells, and the pool always fits', async t => {
  for (const model of [small, half, eight]) {
    let before = 0
    for (let memory = 0.5 * GB; memory < 200 * GB; memory *= 1.1) {
      const cells = planCells(model, machine(memory))
      t.ok(cells >= before, `${cells} at ${memory}`)
      t.equal(cells % 256, 0)
      const fits = model.weights + model.fixed + cells * model.perCell < memory
      t.ok(fits || cells === 2048, `${cells} cells in ${memory}`)
      before = cells
    }
  }
})

t.test('a model of a short context gets no pool that nobody could fill', async t => {
  const tiny = { ...small, trainingContext: 256 }
  t.equal(planCells(tiny, machine(24 * GB)), 32 * 256)
  t.equal(planCells({ ...small, trainingContext: 0 }, machine(24 * GB)), 32_768, 'unknown')
})

t.test('streams and threads', async t => {
  t.equal(planParallel(32_768), 16)
  t.equal(planParallel(2048), 4)
  t.equal(planParallel(256), 1)
  t.equal(planThreads({ ...machine(GB), cores: 8 }), 7)
  t.equal(planThreads({ ...machine(GB), cores: 1 }), 1)
})

t.test('the figures of the model of the package, and of this machine', async t => {
  const file = path.join(packageRoot(), 'models', 'MiniMind2-Small-26M-q8_0.gguf')
  const context = { batchRows: 512, cacheTypeK: 'f16', cacheTypeV: 'f16', flashAttention: 'auto' } as const
  const figures = readModelFigures(file, context)
  t.match(figures, { weights: 31_183_744, trainingContext: 32_768 })
  const keysAndValues = 8 * 2 * 64 * 2 * 2
  t.ok(figures.perCell >= keysAndValues, 'and what a batch takes per cell')
  t.ok(figures.perCell < 3 * keysAndValues)
  const quarter = readModelFigures(file, { ...context, cacheTypeK: 'q8_0', cacheTypeV: 'q8_0' })
  t.ok(quarter.perCell < figures.perCell)

  const here = readMachine(true)
  t.ok(here.memory > 2 ** 27 && here.cores >= 1, JSON.stringify(here))
  t.equal(readMachine(false).gpuMemory, null)
})

t.test('a damaged file is refused in one line', async t => {
  const folder = t.testdir({ 'cut.gguf': 'GGUF\u0003\0\0\0' })
  const context = { batchRows: 512, cacheTypeK: 'f16', cacheTypeV: 'f16', flashAttention: 'auto' } as const
  t.throws(() => readModelFigures(path.join(folder, 'cut.gguf'), context), {
    name: 'BackendError',
    code: 'load_failed',
    message: /^[^\n]+cut\.gguf[^\n]+$/
  })
})
