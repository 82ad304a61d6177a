/**
 * Body of `POST /v1/completions`: OpenAI's specification, and extensions under the names that llama.cpp and vLLM gave
 * them. Only `model` is looser than the specification: it may be left out.
 */
import { type Static, Type } from 'typebox'
import { nullable, ResponseFormat, samplingFields } from './chat.js'

const Tokens = Type.Array(Type.Integer(), { minItems: 1 })

export const CompletionRequest = Type.Object({
  model: Type.Optional(Type.String()),
  /** One prompt or several, as text or as tokens; null: the beginning of a document. */
  prompt: Type.Union([
    Type.String(),
    Type.Array(Type.String()),
    Tokens,
    Type.Array(Tokens, { minItems: 1 }),
    Type.Null()
  ]),
  suffix: nullable(Type.String()),
  max_tokens: nullable(Type.Integer({ minimum: 0 })),
  n: nullable(Type.Integer({ minimum: 1, maximum: 128 })),
  best_of: nullable(Type.Integer({ minimum: 0, maximum: 20 })),
  echo: nullable(Type.Boolean()),
  logprobs: nullable(Type.Integer({ minimum: 0, maximum: 5 })),
  stream: nullable(Type.Boolean()),
  stream_options: nullable(
    Type.Object({
      include_usage: Type.Optional(Type.Boolean()),
      include_obfuscation: Type.Optional(Type.Boolean())
    })
  ),
  response_format: Type.Optional(ResponseFormat),
  user: Type.Optional(Type.String()),
  ...samplingFields
})
export type CompletionRequest = Static<typeof CompletionRequest>
