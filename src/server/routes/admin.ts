import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { HostedModel } from '../../models/hosted-model.js'
import type { ModelRegistry } from '../../models/registry.js'
import { SwapError, type SwapFailure } from '../../models/swap.js'
import { ApiError, type ErrorCode } from '../../protocol/errors.js'
import { adminGuard } from './admin-guard.js'

const seconds = Type.Number({ minimum: 0, maximum: 86_400 })
const name = Type.String({ minLength: 1, maxLength: 512 })
const loadBody = Type.Object({ model: name }, { additionalProperties: false })
const unloadBody = Type.Object(
  { model: name, timeout_seconds: Type.Optional(seconds) },
  { additionalProperties: false }
)
const swapBody = Type.Object(
  { from: name, to: name, alias: Type.Optional(name), timeout_seconds: Type.Optional(seconds) },
  { additionalProperties: false }
)
const drainBody = Type.Object({ timeout_seconds: Type.Optional(seconds) }, { additionalProperties: false })
const cachesQuery = Type.Object({ model: Type.Optional(name) })

/** How long running requests may go on where the caller does not say. */
const usualSeconds = 30
/** A swap waits for the old model's requests rather than end them. */
const usualSwapSeconds = 120

/** Managing models: see docs/models.md. */
const admin: FastifyPluginAsyncTypebox<{ registry: ModelRegistry; adminKey: string }> = async (
  app,
  { registry, adminKey }
) => {
  const config = { open: true, rateLimit: false as const }
  app.addHook('onRequest', adminGuard(adminKey))
  // A command without a body is a command with the usual settings.
  app.addHook('preValidation', async request => {
    if (request.method === 'POST') request.body ??= {}
  })

  app.get('/models', { config }, async () => ({
    memory: memoryOf(registry),
    data: registry.list().map(describe)
  }))

  app.get('/models/current', { config }, async () => ({
    default: registry.default.id,
    swapping: registry.swapping,
    memory: memoryOf(registry),
    data: registry
      .list()
      .filter(model => model.state !== 'unloaded')
      .map(describe)
  }))

  app.post('/models/load', { config, schema: { body: loadBody } }, async request => {
    const began = performance.now()
    const model = getModel(registry, request.body.model)
    await model.load()
    return { ...describe(model), load_ms: Math.round(performance.now() - began) }
  })

  app.post('/models/unload', { config, schema: { body: unloadBody } }, async request => {
    const model = getModel(registry, request.body.model)
    const timeoutMs = (request.body.timeout_seconds ?? usualSeconds) * 1000
    return { ...drained(await model.unload({ timeoutMs })), ...describe(model) }
  })

  app.post('/models/swap', { config, schema: { body: swapBody } }, async request => {
    const { from, to, alias, timeout_seconds = usualSwapSeconds } = request.body
    try {
      const result = await registry.swap(from, to, alias, timeout_seconds * 1000)
      const { aliases, beside, totalMs, heldMs } = result
      return { from: result.from, to: result.to, aliases, beside, total_ms: totalMs, held_ms: heldMs }
    } catch (error) {
      throw error instanceof SwapError ? swapFailed(error, registry) : error
    }
  })

  app.delete('/caches', { config, schema: { querystring: cachesQuery } }, async request => {
    const { model } = request.query
    const models = model === undefined ? registry.list() : [getModel(registry, model)]
    const loaded = models.filter(one => one.isReady)
    const data = await Promise.all(
      loaded.map(async one => ({ id: one.id, freed_cells: (await one.clearCache()).freedCells }))
    )
    return { data }
  })

  /** The last thing a server is told: nothing is loaded afterwards. */
  app.post('/drain', { config, schema: { body: drainBody } }, async request => {
    const timeoutMs = (request.body.timeout_seconds ?? usualSeconds) * 1000
    return drained(await registry.drain({ timeoutMs }))
  })
}

export default admin

function getModel(registry: ModelRegistry, wanted: string): HostedModel {
  const model = registry.get(wanted)
  if (model !== undefined) return model
  const available = registry.list().map(known => known.id)
  throw new ApiError('model_not_found', {
    param: 'model',
    details: { model: wanted.slice(0, 200), available: available.join(', ') }
  })
}

/** What `GET /admin/models` says about a model. Sizes are bytes, times milliseconds. */
function describe(model: HostedModel) {
  const { id, aliases, file, state, pinned, loading, failure, restarts, breaker, active, stats, config } =
    model
  return {
    id,
    aliases,
    file,
    state,
    pinned,
    active,
    idle_ms: Math.round(model.idleMs),
    restarts,
    breaker,
    failure,
    loading:
      loading === null
        ? null
        : { state: loading.state, progress: loading.progress, estimated_ms: loading.estimatedMs },
    memory: state === 'unloaded' ? null : model.bytes(),
    context: config?.contextCells ?? null,
    parallel: config?.parallel ?? null,
    pool: stats?.pool ?? null,
    queue: stats === null ? null : { running: stats.running, waiting: stats.waiting }
  }
}

function memoryOf({ memory }: ModelRegistry) {
  return { budget: Number.isFinite(memory.budget) ? memory.budget : null, used: memory.used }
}

function drained(result: { finished: number; aborted: number; spilledBytes: number }) {
  return { finished: result.finished, aborted: result.aborted, spilled_bytes: result.spilledBytes }
}

const swapCodes: Record<SwapFailure, ErrorCode> = {
  not_found: 'model_not_found',
  same: 'swap_conflict',
  in_progress: 'swap_conflict',
  name_taken: 'swap_conflict',
  busy: 'swap_conflict',
  load_failed: 'swap_failed'
}

function swapFailed(error: SwapError, registry: ModelRegistry): ApiError {
  const available = registry.list().map(known => known.id)
  return new ApiError(swapCodes[error.reason], {
    details: { reason: error.message, model: error.model ?? '', available: available.join(', ') },
    extra: error.reason === 'load_failed' ? { rolled_back: error.rolledBack } : {},
    cause: error
  })
}
