import type { ServerResponse } from 'node:http'
import type { GenerationRequest, RequestEvent } from '../../engine/messages.js'
import type { Engine } from '../../models/types.js'
import { failureError } from '../../protocol/outcomes.js'
import { ClientGoneError, type RefusalWords, submit } from './submit.js'

/**
 * Runs a request to its end. Every event from the verdict to `end` goes to `add`.
 * @throws ApiError when the engine refuses or fails, and what `add` throws; the request is cancelled then
 * @throws ClientGoneError when the client closes the connection; the request is cancelled then
 */
export function collect(
  engine: Engine,
  request: GenerationRequest,
  response: ServerResponse,
  words: RefusalWords,
  add: (event: RequestEvent) => void
): Promise<void> {
  return new Promise((resolve, reject) => {
    const submitted = submit(engine, request, response, words, generation => {
      const onClose = () => {
        generation.cancel()
        reject(new ClientGoneError())
      }
      response.once('close', onClose)
      return event => {
        try {
          if (event.type === 'failed') throw failureError(event.code, event.message)
          add(event)
          if (event.type !== 'end') return
          resolve()
        } catch (error) {
          generation.cancel()
          reject(error)
        }
        response.off('close', onClose)
      }
    })
    submitted.catch(reject)
  })
}
