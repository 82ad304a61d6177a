import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Engine, Model } from '../../models/types.js'
import { ApiError } from '../../protocol/errors.js'
import { EarlyReply } from './early-reply.js'
import { ClientGoneError } from './submit.js'

/** A load that fails, or succeeds, sooner is answered as if there had been nothing to wait for. */
const quietMs = 1000

/**
 * The engine of a request's model, which may have to be loaded first. A client that streams hears of it: after a moment
 * its headers go out, with comments that say how the load gets on (`x-octavo-events: 1`: at once, as events). A
 * client that does not want to wait (`x-octavo-wait: 0`) is told when to come back.
 *
 * @param keepAliveMs between signs of life; 0: none
 * @throws ApiError model_loading
 * @throws ModelUnavailableError when the model cannot be loaded, or not in time
 * @throws ClientGoneError
 */
export async function readyEngine(model: Model, reply: FastifyReply, keepAliveMs: number): Promise<Engine> {
  if (model.state === 'ready') return model.engine()
  const { request, raw } = reply
  const loading = model.engine()
  if (request.headers['x-octavo-wait'] === '0') {
    loading.catch(() => {})
    throw await refusal(model, loading)
  }
  const early = streams(request) ? openLater(model, reply, keepAliveMs) : null
  let onClose = () => {}
  const gone = new Promise<never>((_, reject) => {
    onClose = () => reject(new ClientGoneError())
  })
  raw.once('close', onClose)
  try {
    const engine = await Promise.race([loading, gone])
    early?.ready()
    return engine
  } finally {
    early?.stop()
    raw.off('close', onClose)
    loading.catch(() => {})
  }
}

/** What keeps the model from being loaded at all comes at once, and is worth more than "come back later". */
async function refusal(model: Model, loading: Promise<Engine>): Promise<unknown> {
  const soon = await Promise.race([
    loading.then(
      () => null,
      (error: unknown) => error
    ),
    new Promise<null>(resolve => setImmediate(resolve, null))
  ])
  if (soon !== null) return soon
  const { state, estimatedMs } = model.loading ?? { state: 'loading', estimatedMs: 1000 }
  return new ApiError('model_loading', {
    retryAfterMs: Math.max(1000, estimatedMs),
    details: { model: model.id, state, seconds: Math.max(1, Math.ceil(estimatedMs / 1000)) }
  })
}

function streams({ body }: FastifyRequest): boolean {
  return typeof body === 'object' && body !== null && 'stream' in body && body.stream === true
}

function openLater(model: Model, reply: FastifyReply, keepAliveMs: number) {
  const events = reply.request.headers['x-octavo-events'] === '1'
  let opened: EarlyReply | null = null
  const open = () => {
    opened = new EarlyReply(reply, () => model.loading, { keepAliveMs, events })
  }
  const timer = events ? undefined : setTimeout(open, quietMs)
  if (events) open()
  return {
    ready() {
      opened?.ready()
    },
    stop() {
      clearTimeout(timer)
    }
  }
}
