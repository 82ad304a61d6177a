import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Engine, Model, Vocabulary } from '../../models/types.js'
import { ApiError } from '../../protocol/errors.js'
import { EarlyReply } from './early-reply.js'
import { ClientGoneError } from './submit.js'

/** Looks at a request with no more than its model's vocabulary. @throws ApiError what can be said against it */
export type Examination = (vocabulary: Vocabulary) => Promise<void>

/** A load that fails, or succeeds, sooner is answered as if there had been nothing to wait for. */
const quietMs = 1000

/**
 * The engine of a request's model, which may have to be loaded first. A client that streams hears of it: after a moment
 * its headers go out, with comments that say how the load gets on (`x-octavo-events: 1`: at once, as events). A
 * client that does not want to wait (`x-octavo-wait: 0`) is told when to come back. What the vocabulary alone can tell
 * comes before all of that: such a request loads nothing, and its refusal is a plain 4xx.
 *
 * @param keepAliveMs between signs of life; 0: none
 * @param examine of the routes that generate; the others' answers are never streams, and take any prompt
 * @throws ApiError model_loading, and what `examine` throws
 * @throws ModelUnavailableError when the model cannot be loaded, or not in time
 * @throws ClientGoneError
 */
export async function readyEngine(
  model: Model,
  reply: FastifyReply,
  keepAliveMs: number,
  examine?: Examination
): Promise<Engine> {
  // One that is ready may hold new requests back, for a swap.
  if (model.state === 'ready' && model.loading === null) return model.engine()
  const { request, raw } = reply
  if (examine !== undefined) await examineBeforehand(model, examine)
  if (raw.destroyed) throw new ClientGoneError()
  const loading = model.engine()
  if (request.headers['x-octavo-wait'] === '0') {
    loading.catch(() => {})
    throw await refusal(model, loading)
  }
  const early = examine !== undefined && streams(request) ? openLater(model, reply, keepAliveMs) : null
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

/** Whatever else goes wrong on the way is no reason to refuse a request: the engine will look at it again. */
async function examineBeforehand(model: Model, examine: Examination): Promise<void> {
  const vocabulary = await model.vocabulary?.()
  if (!vocabulary) return
  try {
    await examine(vocabulary)
  } catch (error) {
    if (error instanceof ApiError) throw error
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
