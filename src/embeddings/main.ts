/** The embedding process: one model, requests over the fork channel. */
import { JobQueue } from './job-queue.js'
import { createJob } from './jobs.js'
import { configVariable, type EmbedderConfig, type FromEmbedder, type ToEmbedder } from './messages.js'
import { loadRuntime, type Runtime } from './runtime.js'
import { EmbeddingRefusal } from './types.js'

function send(message: FromEmbedder): void {
  if (process.connected) process.send?.(message)
}

function fail(id: number, error: unknown): void {
  if (error instanceof EmbeddingRefusal) send({ type: 'refused', id, reason: error.reason })
  else send({ type: 'failed', id, message: messageOf(error) })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

async function load(): Promise<Runtime | null> {
  try {
    const config: EmbedderConfig = JSON.parse(process.env[configVariable] ?? '')
    return await loadRuntime(config)
  } catch (error) {
    send({ type: 'loadFailed', message: messageOf(error) })
    process.disconnect()
    return null
  }
}

// Nobody is left to work for. (Ctrl-C reaches the whole process group: the server says when to stop.)
process.on('disconnect', () => process.exit(0))
process.on('SIGINT', () => {})

const runtime = await load()
if (runtime) {
  const queue = new JobQueue((job, error) => fail(job.id, error))
  process.on('message', (message: ToEmbedder) => {
    if (message.type === 'work') {
      try {
        queue.add(createJob(message, runtime, send))
      } catch (error) {
        fail(message.id, error)
      }
    } else if (message.type === 'cancel') queue.cancel(message.id)
    else void runtime.dispose().finally(() => process.exit(0))
  })
  send({ type: 'ready' })
}
