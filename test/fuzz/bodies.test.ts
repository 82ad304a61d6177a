/**
 * Bodies made from OpenAI's request schemas, and broken copies of them, against the server as a user starts it:
 * what the specification rejects is a 400 in the right shape, what it accepts is never refused for its shape, nothing
 * is a 500, and the engine lives. OCTAVO_TEST_SEED repeats a run with another seed.
 */
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { TSchema } from 'typebox'
import { ChatRequest } from '../../src/protocol/openai/schema/chat.js'
import { CompletionRequest } from '../../src/protocol/openai/schema/completion.js'
import { EmbeddingRequest } from '../../src/protocol/openai/schema/embedding.js'
import { bodyValidator } from '../support/body-validator.js'
import { type Json, junk, paths, replaced } from '../support/chat-bodies.js'
import { count } from '../support/counts.js'
import { fromSchema } from '../support/from-schema.js'
import { type SchemaName, schemas, violations } from '../support/openai-schema.js'
import { realServer } from '../support/real-server.js'

const seed = Number(process.env.OCTAVO_TEST_SEED ?? 1)
const bodies = count(100, 1700)
/** Requests at once. */
const width = 4

interface Route {
  path: string
  request: SchemaName
  answer: SchemaName
  schema: TSchema
  /** Fields in which ours is looser, or does not look: see chat-schema.test.ts. */
  looser: RegExp
  /** Keeps the work small; broken values stay broken. */
  tame(body: Record<string, Json>): void
}

const tiny = { max_tokens: 3, max_completion_tokens: 3, n: 3, best_of: 4 }

function tame(body: Record<string, Json>): void {
  for (const [field, most] of Object.entries(tiny)) {
    const value = body[field]
    if (Number.isInteger(value) && (value as number) > most) body[field] = most
  }
}

const routes: Route[] = [
  {
    path: '/v1/chat/completions',
    request: 'CreateChatCompletionRequest',
    answer: 'CreateChatCompletionResponse',
    schema: ChatRequest,
    looser:
      /^(model|top_logprobs|moderation\.policy|messages\.\d+\.content\.\d+\.(image_url\.url|prompt_cache_breakpoint))/,
    tame(body) {
      if (!('max_tokens' in body) && !('max_completion_tokens' in body)) body.max_tokens = 2
      // The specification has it twice, with and without null.
      if (body.top_logprobs === null) delete body.top_logprobs
      tame(body)
    }
  },
  {
    path: '/v1/completions',
    request: 'CreateCompletionRequest',
    answer: 'CreateCompletionResponse',
    schema: CompletionRequest,
    looser: /^model/,
    tame(body) {
      if (!('max_tokens' in body)) body.max_tokens = 2
      tame(body)
    }
  },
  {
    path: '/v1/embeddings',
    request: 'CreateEmbeddingRequest',
    answer: 'CreateEmbeddingResponse',
    schema: EmbeddingRequest,
    looser: /^model/,
    tame() {}
  }
]

/** Codes that say something about the request's shape. */
const shapeCodes = ['invalid_json', 'invalid_body', 'invalid_type', 'missing_required_parameter']

const { url, child } = await realServer(t, ['--alias', 'tiny,*'])

for (const route of routes) {
  t.test(`${route.path}: ${bodies} bodies, seed ${seed}`, async t => {
    const sample = fc.sample(variants(route), { numRuns: bodies, seed })
    const statuses = new Map<number, number>()
    let next = 0
    const work = async () => {
      for (let body = sample[next++]; body !== undefined; body = sample[next++]) {
        const status = await judge(t, route, body.value, body.brokenAt)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
      }
    }
    await Promise.all(Array.from({ length: width }, work))
    const summary = JSON.stringify(Object.fromEntries(statuses))
    t.comment(summary)
    t.ok((statuses.get(200) ?? 0) > bodies / 20, `enough is served: ${summary}`)
    t.ok((statuses.get(400) ?? 0) > bodies / 20, `enough is refused: ${summary}`)
  })
}

t.test('the engine has lived through all of it', async t => {
  t.equal(child.exitCode, null)
  const health = (await (await fetch(`${url}/health`)).json()) as { models: Array<{ restarts: number }> }
  t.strictSame(
    health.models.map(({ restarts }) => restarts),
    [0]
  )
})

interface Variant {
  value: Record<string, Json>
  /** Place of a value that was replaced by junk; '' where none was. */
  brokenAt: string
}

function variants(route: Route): fc.Arbitrary<Variant> {
  return fromSchema(route.request, schemas)
    .filter((body): body is Record<string, Json> => typeof body === 'object' && body !== null)
    .chain(body => {
      const copy = structuredClone(body)
      route.tame(copy)
      const whole = fc.constant({ value: copy, brokenAt: '' })
      const places = paths(copy).filter(path => path.length > 0)
      const broken = fc.tuple(fc.constantFrom(...places), junk).map(([place, by]) => {
        const value = replaced(copy, place, by) as Record<string, Json>
        route.tame(value)
        return { value, brokenAt: place.join('.') }
      })
      return fc.oneof({ weight: 2, arbitrary: whole }, { weight: 1, arbitrary: broken })
    })
}

async function judge(t: Test, route: Route, body: Record<string, Json>, brokenAt: string): Promise<number> {
  const text = JSON.stringify(body)
  const fail = (why: string) => t.fail(`${why}: ${brokenAt} in ${text.slice(0, 2000)}`)
  const theirs = violations(route.request, body)
  const ours = bodyValidator(route.schema)(body)
  if (!route.looser.test(brokenAt) && (theirs.length === 0) !== (ours.length === 0)) {
    fail(`specification: ${theirs[0] ?? 'accepted'}; ours: ${JSON.stringify(ours[0] ?? 'accepted')}`)
  }
  const reply = await fetch(`${url}${route.path}`, {
    method: 'POST',
    body: text,
    headers: { 'content-type': 'application/json' }
  })
  const answer = await reply.text()
  if (ours.length > 0 && reply.status !== 400) fail(`${reply.status} for what is rejected`)
  if (reply.status === 200) {
    if (body.stream === true) {
      if (!answer.endsWith('data: [DONE]\n\n')) fail(`a stream ended with ${answer.slice(-300)}`)
    } else if (body.encoding_format !== 'base64') {
      const wrong = violations(route.answer, JSON.parse(answer))
      if (wrong.length > 0) fail(`an answer that is not in the specification: ${wrong[0]}`)
    }
    return reply.status
  }
  if (![400, 404].includes(reply.status)) fail(`${reply.status} ${answer.slice(0, 500)}`)
  const error = JSON.parse(answer)
  const wrong = violations('ErrorResponse', error)
  if (wrong.length > 0) fail(`an error in another shape: ${answer.slice(0, 300)}`)
  if (ours.length === 0 && shapeCodes.includes(error.error.code)) fail(`refused for its shape: ${answer}`)
  return reply.status
}
