/**
 * Writes the part of OpenAI's specification that the tests need into test/fixtures/openai-schemas.json.
 *
 *   node dist/test/support/extract-openai-schemas.js path/to/openapi.json
 *
 * The specification is https://github.com/openai/openai-openapi (MIT), converted to JSON.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { packageRoot } from '../../src/root.js'

const wanted = [
  'CreateChatCompletionRequest',
  'CreateChatCompletionResponse',
  'CreateChatCompletionStreamResponse',
  'CreateCompletionRequest',
  'CreateCompletionResponse',
  'CreateEmbeddingRequest',
  'CreateEmbeddingResponse',
  'CreateResponse',
  'ErrorResponse',
  'ListModelsResponse',
  'Model',
  'Response',
  'ResponseItemList',
  'ResponseStreamEvent'
]

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

const source = process.argv[2]
if (source === undefined) throw new Error('usage: extract-openai-schemas.js OPENAPI_JSON')
const specification = JSON.parse(readFileSync(source, 'utf8'))
const all: Record<string, Json> = specification.components.schemas

const found: Record<string, Json> = {}
const queue = [...wanted]
for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
  const schema = all[name]
  if (name in found || schema === undefined) continue
  found[name] = bare(schema)
  for (const match of JSON.stringify(found[name]).matchAll(/#\/components\/schemas\/([\w-]+)/g)) {
    queue.push(match[1] as string)
  }
}

const file = path.join(packageRoot(), 'test/fixtures/openai-schemas.json')
const sorted = Object.fromEntries(Object.entries(found).sort(([a], [b]) => a.localeCompare(b)))
writeFileSync(file, `${JSON.stringify({ $comment: comment(), schemas: sorted }, null, 1)}\n`)

function comment(): string {
  return `From OpenAI's OpenAPI specification ${specification.info.version} (MIT), without descriptions.`
}

/** Without what does not validate: a third of the size. */
function bare(value: Json): Json {
  if (Array.isArray(value)) return value.map(bare)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, entry]) => !isProse(key, entry))
      .map(([key, entry]) => [key, bare(entry)])
  )
}

/** A property may be called `description` or `title`: then its value is a schema. */
function isProse(key: string, value: Json): boolean {
  if (key.startsWith('x-')) return true
  return ['description', 'title', 'example', 'deprecated'].includes(key) && typeof value !== 'object'
}
