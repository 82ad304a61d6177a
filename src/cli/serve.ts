import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Logger } from 'pino'
import { defaultModel } from '../config/settings.js'
import { type Config, loadConfig } from '../config.js'
import { resolveModel } from '../models/download.js'
import { readMachine, readModelFigures } from '../models/memory.js'
import { createModels, type ModelRegistry } from '../models/registry.js'
import { packageRoot, packageVersion } from '../root.js'
import type { ServerOptions } from '../server/options.js'
import { type RunningServer, startServer } from '../server/server.js'
import { banner, readyRecord } from './banner.js'
import { engineConfig, modelName } from './engine-config.js'
import { ListenError } from './failure.js'
import { createLogger } from './logger.js'
import { downloadDetail, ProgressLine } from './progress.js'
import { type StopSignals, watchSignals } from './signals.js'

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
  const { logger, pretty } = createLogger(config)
  const quiet = quieten(logger)
  const file = await resolveModel(modelSpec(config), {
    signal: signals.stop,
    huggingFace: env.HF_ENDPOINT || undefined,
    onProgress: step =>
      progress.show(`downloading ${step.file}`, step.downloadedBytes / step.totalBytes, downloadDetail(step))
  })
  progress.clear()
  const figures = readModelFigures(file, {
    batchRows: config.batchSize,
    cacheTypeK: config.cacheTypeK,
    cacheTypeV: config.cacheTypeV,
    flashAttention: config.flashAttn
  })
  const engine = engineConfig(config, file, figures, readMachine(config.gpuLayers !== 0))
  const [id = modelName(config.model, file), ...aliases] = config.alias
  const models = createModels({ models: [{ id, aliases, config: engine }], logger })
  let server: RunningServer | undefined
  try {
    // Before the load: a port in use shows at once, and the health routes tell how far the load is.
    server = await listen(config, models, logger)
    const loading = models.load(undefined, fraction => progress.show(`loading ${id}`, fraction))
    await Promise.race([loading, signals.stopped()])
    progress.clear()
    quiet.end()
    if (!signals.stop.aborted) {
      const { info, capabilities } = await loading
      const ready = {
        version: packageVersion(),
        address: server.address,
        name: id,
        info: info!,
        capabilities: capabilities!,
        blockSize: engine.blockSize,
        parallel: engine.parallel,
        threads: engine.threads,
        keyed: config.apiKey.length > 0
      }
      if (pretty) process.stdout.write(`${banner(ready)}\n`)
      else logger.info(readyRecord(ready), 'ready')
      await signals.stopped()
    }
    // The load that was overtaken by a signal ends with the drain.
    loading.catch(() => {})
    await drain(models, signals, config.drainTimeout, logger)
    return 0
  } finally {
    await models.drain({ timeoutMs: 0 })
    // A client that takes nothing must not hold the process.
    await Promise.race([server?.app.close(), setTimeout(closeMs)])
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

function modelSpec(config: Config): string {
  return config.model === defaultModel ? path.join(packageRoot(), 'models', defaultModel) : config.model
}

async function listen(config: Config, models: ModelRegistry, logger: Logger): Promise<RunningServer> {
  const options: ServerOptions = {
    host: config.host,
    apiKeys: config.apiKey,
    rateLimit: config.rateLimit,
    corsOrigins: config.corsOrigin,
    bodyLimit: config.bodyLimit,
    keepAliveMs: config.keepAliveComments * 1000
  }
  try {
    return await startServer({ models, config: options, logger, port: config.port })
  } catch (error) {
    throw new ListenError(error, config.host, config.port)
  }
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
