/** What the API's description says about a route beside the schema of its body. */
import type { FastifySchema, RouteOptions } from 'fastify'
import { routeWords } from './words.js'

export const tags = [
  { name: 'OpenAI', description: 'Chat, completions, responses, embeddings, models' },
  { name: 'Anthropic', description: 'Messages' },
  { name: 'llama-server', description: 'Tokens and templates' },
  { name: 'Operation', description: 'Health, metrics, administration' }
]

/**
 * Adds the words and the kinds of answers to what a route's schema has. Answers have no `response` schema in the routes:
 * Fastify would serialize by it.
 */
export function describeRoute(
  schema: FastifySchema | undefined,
  url: string,
  route: Pick<RouteOptions, 'method'>
): FastifySchema {
  const words = routeWords[`${[route.method].flat()[0]} ${url}`]
  const described = {
    ...schema,
    ...(words ? { summary: words.summary, tags: [words.tag] } : {}),
    response: {
      200: answer(words?.streams ?? false),
      '4XX': failure('The request is refused: see docs/errors.md for every code.'),
      '5XX': failure('The request failed; `retry-after` and `x-should-retry` say whether to try again.')
    }
  }
  return described
}

function answer(streams: boolean) {
  return {
    description: streams ? 'The answer, or with `stream: true` its events' : 'The answer',
    content: {
      'application/json': { schema: { type: 'object' } },
      ...(streams ? { 'text/event-stream': { schema: { type: 'string' } } } : {})
    }
  }
}

function failure(description: string) {
  const text = { type: 'string' }
  const textOrNull = { type: ['string', 'null'] }
  const error = {
    type: 'object',
    required: ['message', 'type', 'param', 'code'],
    properties: { message: text, type: text, param: textOrNull, code: textOrNull }
  }
  const schema = { type: 'object', required: ['error'], properties: { error } }
  return { description, content: { 'application/json': { schema } } }
}

/** `/models` says nothing that `/v1/models` does not. */
export function withoutAliases<D extends { paths?: object }>(document: D): D {
  const paths = document.paths ?? {}
  const kept = Object.entries(paths).filter(([path]) => !(`/v1${path}` in paths))
  return { ...document, paths: Object.fromEntries(kept) }
}
