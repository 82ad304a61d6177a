/** Judges replies by OpenAI's own specification. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import ajvFormats from 'ajv-formats'
import { packageRoot } from '../../src/root.js'

export type SchemaName =
  | 'CreateChatCompletionRequest'
  | 'CreateChatCompletionResponse'
  | 'CreateChatCompletionStreamResponse'
  | 'CreateCompletionRequest'
  | 'CreateCompletionResponse'
  | 'CreateEmbeddingRequest'
  | 'CreateEmbeddingResponse'
  | 'CreateResponse'
  | 'ErrorResponse'
  | 'ListModelsResponse'
  | 'Model'
  | 'Response'
  | 'ResponseItemList'
  | 'ResponseStreamEvent'

const file = path.join(packageRoot(), 'test/fixtures/openai-schemas.json')
export const { schemas } = JSON.parse(readFileSync(file, 'utf8')) as { schemas: Record<string, unknown> }

const ajv = new Ajv2020({ strict: false, discriminator: false, allErrors: true })
ajvFormats.default(ajv)
ajv.addFormat('unixtime', { type: 'number', validate: value => Number.isInteger(value) && value >= 0 })
ajv.addSchema({ $id: 'openai', components: { schemas: orNull(schemas) as object } })

/** What is wrong with `value`, one line each; empty: nothing. */
export function violations(name: SchemaName, value: unknown): string[] {
  const validate = ajv.getSchema(`openai#/components/schemas/${name}`) as ValidateFunction
  if (validate(value)) return []
  return (validate.errors ?? []).map(error => `${name}${error.instancePath} ${error.message}`)
}

/** OpenAPI 3.0's `nullable: true`, which the specification still uses beside a type or a $ref. */
function orNull(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(orNull)
  if (typeof schema !== 'object' || schema === null) return schema
  const entries = Object.entries(schema).map(([key, value]) => [key, orNull(value)])
  const { nullable, ...rest } = Object.fromEntries(entries)
  return nullable === true ? { anyOf: [rest, { type: 'null' }] } : rest
}
