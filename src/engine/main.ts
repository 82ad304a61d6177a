/**
 * The engine process: one model, one loop around the backend. Forked by the server process with its EngineConfig in
 * OCTAVO_ENGINE_CONFIG; ends when the channel to its parent closes, so that it never outlives it.
 */
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { loadBackend } from '../llama/backend.js'
import { type Backend, BackendError } from './backend.js'
import { handleCall } from './calls.js'
import { Engine } from './engine.js'
import type { EngineConfig, FromEngine, ToEngine } from './messages.js'
import { cutFor } from './tiers/piece.js'
import { TierStore } from './tiers/store.js'

/** llama.cpp's own limit; more than this aborts the process. */
const SEQUENCE_IDS = 256
/** Beside one for each running stream: snapshots of prefixes, and scratch. */
const SPARE_IDS = 16

function send(message: FromEngine): void {
  if (process.connected) process.send?.(message)
}

/** How long a slow disk may hold up the start. Until its index is complete, what is on it is not found. */
const INDEX_MS = 3000

/** RAM and disk below the pool. */
function openTiers({ tiers }: EngineConfig, { info, capabilities }: Backend): TierStore | null {
  if (!tiers || tiers.ramBytes === 0) return null
  return new TierStore({
    ...cutFor(capabilities),
    ramBytes: tiers.ramBytes,
    disk: tiers.disk && {
      ...tiers.disk,
      fingerprint: info.fingerprint,
      label: path.basename(info.path, '.gguf')
    },
    onFault: fault => process.stderr.write(`prefix cache: ${JSON.stringify(fault)}\n`)
  })
}

async function main(): Promise<void> {
  const config: EngineConfig = JSON.parse(process.env.OCTAVO_ENGINE_CONFIG ?? '{}')
  // Ctrl-C in a terminal reaches the whole group: the server decides when the engine ends.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => {})
  // Beyond a limit on the size of files (ulimit -f) a write fails, instead of the process.
  if (process.platform !== 'win32') process.on('SIGXFSZ', () => {})
  process.once('disconnect', () => process.exit(0))
  if (!process.connected) process.exit(0)

  const backend = await loadBackend(
    {
      model: config.model,
      contextCells: config.contextCells,
      sequenceIds: SEQUENCE_IDS,
      fewestSequenceIds: Math.min(SEQUENCE_IDS, config.parallel + SPARE_IDS),
      batchRows: config.batchRows,
      threads: config.threads,
      gpuLayers: config.gpuLayers,
      cacheTypeK: config.cacheTypeK,
      cacheTypeV: config.cacheTypeV,
      flashAttention: config.flashAttention,
      loadMode: config.loadMode ?? 'auto',
      lanes: config.lanes === false ? 0 : config.parallel
    },
    fraction => send({ type: 'progress', fraction })
  )
  const store = openTiers(config, backend)
  const engine = await Engine.create(backend, config, send, store)
  await Promise.race([store?.ready, setTimeout(INDEX_MS)])
  process.on('message', (message: ToEngine) => {
    switch (message.type) {
      case 'submit':
        return engine.submit(message.id, message.request)
      case 'cancel':
        return engine.cancel(message.id)
      case 'pause':
        return engine.setPaused(message.id, true)
      case 'resume':
        return engine.setPaused(message.id, false)
      case 'call':
        handleCall(engine, backend, message).then(send, error =>
          send({ type: 'reply', call: message.call, ok: false, message: String(error?.message ?? error) })
        )
    }
  })
  send({ type: 'stats', stats: engine.stats() })
  send({ type: 'ready', info: backend.info, capabilities: backend.capabilities, config })
  await engine.run()
  backend.dispose()
}

main().then(
  () => process.exit(0),
  error => {
    const code = error instanceof BackendError ? error.code : 'engine_error'
    process.stderr.write(`${error?.stack ?? error}\n`)
    send({ type: 'loadFailed', failure: { code, message: String(error?.message ?? error) } })
    // The message must reach the parent before the process is gone.
    void setTimeout(20).then(() => process.exit(1))
  }
)
