import type { ServerResponse } from 'node:http'
import type { GenerationRequest, RequestEvent } from '../../engine/messages.js'
import type { Engine, Generation } from '../../models/types.js'
import { failureError, refusalError } from '../../protocol/outcomes.js'
import { submitterOf } from './submitter.js'

/** How the engine's refusals are worded in the protocol that the request came in. */
export interface RefusalWords {
  /** What the fields of a GenerationRequest are called there. */
  paramNames: Record<string, string>
  /** The field that holds the prompt. */
  promptParam: string
}

/** Raised when nobody is there to read the answer any more; never seen by a client. */
export class ClientGoneError extends Error {
  constructor() {
    super('the client went away')
    this.name = 'ClientGoneError'
  }
}

/**
 * Submits a request and waits for the engine's verdict. Events after it go to `onEvent` of the returned generation's
 * caller; none is lost, because the listener is asked for synchronously with the verdict.
 *
 * @param onAdmitted called on admission, gives the listener for all further events
 * @param response a client that closes it before the verdict cancels the request
 * @throws ApiError when the engine refuses or fails before it admits
 * @throws ClientGoneError
 */
export function submit(
  engine: Engine,
  request: GenerationRequest,
  response: ServerResponse,
  words: RefusalWords,
  onAdmitted: (generation: Generation) => (event: RequestEvent) => void
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (response.destroyed) {
      reject(new ClientGoneError())
      return
    }
    const onClose = () => {
      generation.cancel()
      reject(new ClientGoneError())
    }
    let listener: ((event: RequestEvent) => void) | undefined
    const generation = submitterOf(response)(engine, request, event => {
      if (listener) {
        listener(event)
        return
      }
      response.off('close', onClose)
      if (event.type === 'failed') reject(failureError(event.code, event.message))
      else if (event.type !== 'verdict') reject(new Error(`the engine sent ${event.type} before its verdict`))
      else if (event.verdict.kind !== 'admitted') {
        reject(refusalError(event.verdict, words.paramNames, words.promptParam))
      } else {
        listener = onAdmitted(generation)
        listener(event)
        resolve()
      }
    })
    response.once('close', onClose)
  })
}
