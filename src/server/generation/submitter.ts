import type { ServerResponse } from 'node:http'
import type { GenerationRequest, RequestEvent } from '../../engine/messages.js'
import type { Engine, Generation } from '../../models/types.js'

/** Hands a request to an engine, as `Engine.submit` does. */
export type Submitter = (
  engine: Engine,
  request: GenerationRequest,
  onEvent: (event: RequestEvent) => void
) => Generation

const direct: Submitter = (engine, request, onEvent) => engine.submit(request, onEvent)

const submitters = new WeakMap<ServerResponse, Submitter>()

/**
 * Puts something between one reply and the engine: it sees what is submitted for this reply, and what comes back.
 *
 *     route -> submit() -> last layer put -> ... -> first layer put -> engine
 */
export function putBetween(response: ServerResponse, layer: (next: Submitter) => Submitter): void {
  submitters.set(response, layer(submitterOf(response)))
}

/** What the routes submit through. */
export function submitterOf(response: ServerResponse): Submitter {
  return submitters.get(response) ?? direct
}
