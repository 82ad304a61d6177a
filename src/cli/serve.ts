import { setTimeout } from 'node:timers/promises'
import type { Logger } from 'pino'
import { type Config, loadConfig, UsageError } from '../config.js'
import type { SupervisedEmbedder } from '../embeddings/supervisor.js'
import { resolveModel } from '../models/download.js'
import { readMachine } from '../models/memory.js'
import { createModels, type ModelRegistry } from '../models/registry.js'
import { packageVersion } from '../root.js'
import type { ServerOptions } from '../server/options.js'
import { type RunningServer, startServer } from '../server/server.js'
import { banner, readyRecord } from './banner.js'
import { createEmbedder, embeddingModelSource } from './embeddings.js'
import { ListenError } from './failure.js'
import { createLogger } from './logger.js'
import { memoryBudget, modelEntries, modelOptions } from './models.js'
import { downloadDetail, ProgressLine } from './progress.js'
import { type StopSignals, watchSignals } from './signals.js'
import { readWarmup, warmUp } from './warmup.js'

/** Connections that are still open after the drain get this long to take what was written. */
const closeMs = 3000

/**
 * `octavo serve`: configuration, model file, engine, HTTP, and back again when a signal comes.
 * @returns the exit code; what a person can put right is thrown (see failure.ts)
 */
export async function serve(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const config = loadConfig(argv, env)
  const signals = watchSignals()
  const progress = new ProgressLine(process.stderr)
  try {
    return await run(config, env, signals, progress)
  } catch (error) {
    // Whatever fails because it was stopped has not failed.
    if (signals.stop.aborted) return 0
    throw error
  } finally {
    progress.clear()
    signals.dispose()
  }
}

async function run(
  config: Config,
  env: NodeJS.ProcessEnv,
  signals: StopSignals,
  progress: ProgressLine
): Promise<number> {
  const { logger, pretty, close: closeLog } = await createLogger(config)
  const quiet = quieten(logger)
  const warmups = config.warmup === '' ? [] : readWarmup(config.warmup)
  const models = await chooseModels(config, env, signals, progress, logger)
  const embedder = await chooseEmbedder(config, env, signals, progress, logger)
  let server: RunningServer | undefined
  try {
    // Before the load: a port in use shows at once, and the health routes tell how far the load is.
    server = await listen(config, models, embedder, logger)
    const loading = preload(models, config, progress)
    await Promise.race([loading, signals.stopped()])
    progress.clear()
    quiet.end()
    if (!signals.stop.aborted) {
      await loading
      announce(models, config, server, { pretty, logger })
      await Promise.race([warmUp(server.app, warmups, config.apiKey, logger), signals.stopped()])
      await signals.stopped()
    }
    // The load that was overtaken by a signal ends with the drain.
    loading.catch(() => {})
    const timeoutMs = config.drainTimeout * 1000
    signals.onHurry(() => void embedder?.close({ timeoutMs: 0 }))
    await Promise.all([drain(models, signals, config.drainTimeout, logger), embedder?.close({ timeoutMs })])
    return 0
  } finally {
    await Promise.all([models.drain({ timeoutMs: 0 }), embedder?.close({ timeoutMs: 0 })])
    // A client that takes nothing must not hold the process.
    await Promise.race([server?.app.close(), setTimeout(closeMs)])
    closeLog()
  }
}

/** A failing start is one line on standard error; the log speaks when the server runs. */
function quieten(logger: Logger): { end(): void } {
  const level = logger.level
  if (logger.levels.values[level]! >= logger.levels.values.info!) logger.level = 'silent'
  return {
    end() {
      logger.level = level
    }
  }
}

async function chooseModels(
  config: Config,
  env: NodeJS.ProcessEnv,
  signals: StopSignals,
  progress: ProgressLine,
  logger: Logger
): Promise<ModelRegistry> {
  const entries = modelEntries(config)
  const files: string[] = []
  for (const entry of entries) files.push(await localFile(entry.file, env, signals, progress))
  progress.clear()
  const machine = readMachine(config.gpuLayers !== 0)
  return createModels({
    models: modelOptions(config, entries, files, machine),
    logger,
    memoryBudget: () => memoryBudget(config, machine),
    times: {
      loadTimeoutMs: config.loadTimeout * 1000,
      ttlMs: config.ttl * 1000,
      onDemandTtlMs: config.onDemandTtl * 1000
    },
    bounds: { stepMs: config.stepTimeout * 1000 },
    breaker: { failures: config.breakerFailures, openMs: config.breakerOpen * 1000 }
  })
}

function localFile(
  source: string,
  env: NodeJS.ProcessEnv,
  signals: StopSignals,
  progress: ProgressLine
): Promise<string> {
  return resolveModel(source, {
    signal: signals.stop,
    huggingFace: env.HF_ENDPOINT || undefined,
    onProgress: step =>
      progress.show(`downloading ${step.file}`, step.downloadedBytes / step.totalBytes, downloadDetail(step))
  })
}

async function chooseEmbedder(
  config: Config,
  env: NodeJS.ProcessEnv,
  signals: StopSignals,
  progress: ProgressLine,
  logger: Logger
): Promise<SupervisedEmbedder | null> {
  const source = embeddingModelSource(config)
  if (source === null) return null
  return createEmbedder(config, await localFile(source, env, signals, progress), logger)
}

async function preload(models: ModelRegistry, config: Config, progress: ProgressLine): Promise<void> {
  const names = config.preload.length === 0 ? [models.default.id] : config.preload
  if (names.length === 1 && names[0] === 'none') return
  for (const name of names) {
    if (models.get(name) === undefined) throw new UsageError(`--preload: no model is called ${name}`)
  }
  for (const name of names) await models.load(name, fraction => progress.show(`loading ${name}`, fraction))
}

/** Says that requests are taken. What is not loaded yet has nothing to tell. */
function announce(
  models: ModelRegistry,
  config: Config,
  { address }: RunningServer,
  { pretty, logger }: { pretty: boolean; logger: Logger }
): void {
  const { id, info, capabilities, config: engine } = models.default
  const others = models.list().length - 1
  if (info === null || capabilities === null || engine === null) {
    logger.info({ version: packageVersion(), address, models: models.list().map(model => model.id) }, 'ready')
    return
  }
  const ready = {
    version: packageVersion(),
    address,
    name: id,
    info,
    capabilities,
    blockSize: engine.blockSize,
    parallel: engine.parallel,
    threads: engine.threads,
    tiers: engine.tiers,
    stats: models.default.stats,
    keyed: config.apiKey.length > 0
  }
  if (!pretty) logger.info({ ...readyRecord(ready), others }, 'ready')
  else process.stdout.write(`${banner(ready)}\n`)
}

async function listen(
  config: Config,
  models: ModelRegistry,
  embeddings: SupervisedEmbedder | null,
  logger: Logger
): Promise<RunningServer> {
  const options: ServerOptions = {
    host: config.host,
    apiKeys: config.apiKey,
    rateLimit: config.rateLimit,
    rateLimitRedis: config.rateLimitRedis,
    deadlines: {
      queue: limit(config.queueTimeout),
      firstToken: limit(config.firstTokenTimeout),
      total: limit(config.requestTimeout)
    },
    slowClientMs: config.slowClientTimeout * 1000,
    metricsPrefix: config.metricsPrefix,
    corsOrigins: config.corsOrigin,
    bodyLimit: config.bodyLimit,
    keepAliveMs: config.keepAliveComments * 1000,
    adminKey: config.adminKey,
    logPrompts: config.logPrompts
  }
  try {
    return await startServer({
      models,
      embeddings,
      registry: models,
      config: options,
      logger,
      port: config.port
    })
  } catch (error) {
    throw new ListenError(error, config.host, config.port)
  }
}

/** Milliseconds; null where a setting says that there is no limit. */
function limit(seconds: number): number | null {
  return seconds === 0 ? null : seconds * 1000
}

async function drain(
  models: ModelRegistry,
  signals: StopSignals,
  seconds: number,
  logger: Logger
): Promise<void> {
  logger.info({ signal: signals.stop.reason, timeout: seconds }, 'draining')
  // Whoever waits for an answer is told that it will not come; the drain is then done.
  signals.onHurry(() => {
    for (const { pid } of models.list()) if (pid !== undefined) process.kill(pid, 'SIGKILL')
  })
  const result = await models.drain({ timeoutMs: seconds * 1000 })
  logger.info(result, 'drained')
}
