/**
 * Body of `POST /v1/chat/completions`: OpenAI's specification, and extensions under the names that llama.cpp and vLLM
 * gave them. Nothing is coerced; fields that are not listed are ignored. Only `model` is looser than the specification:
 * it may be left out.
 */
import { type Static, type TSchema, Type } from 'typebox'
import { ChatMessage, TextPart, tagged } from './content.js'
import { LegacyFunctionCall, LegacyFunctions, Tool, ToolChoice } from './tools.js'

export const nullable = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

/** How the answer is drawn; the same fields in all of OpenAI's text routes. */
export const samplingFields = {
  temperature: nullable(Type.Number({ minimum: 0, maximum: 2 })),
  top_p: nullable(Type.Number({ minimum: 0, maximum: 1 })),
  frequency_penalty: nullable(Type.Number({ minimum: -2, maximum: 2 })),
  presence_penalty: nullable(Type.Number({ minimum: -2, maximum: 2 })),
  /** 64 bits, signed (as far as JSON numbers carry them). */
  seed: nullable(Type.Integer({ minimum: -(2 ** 63), maximum: 2 ** 63 })),
  logit_bias: nullable(Type.Record(Type.String(), Type.Integer())),
  stop: nullable(Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1, maxItems: 4 })])),

  top_k: nullable(Type.Integer({ minimum: -1 })),
  min_p: nullable(Type.Number({ minimum: 0, maximum: 1 })),
  repeat_penalty: nullable(Type.Number({ exclusiveMinimum: 0 })),
  /** vLLM's name for `repeat_penalty`. */
  repetition_penalty: nullable(Type.Number({ exclusiveMinimum: 0 })),
  repeat_last_n: nullable(Type.Integer({ minimum: -1 })),
  ignore_eos: nullable(Type.Boolean()),
  cache_prompt: nullable(Type.Boolean()),
  cache_salt: nullable(Type.String()),
  grammar: nullable(Type.String())
}

/** Accepted for the sake of clients, checked for their type, and without effect here. */
const acceptedFields = {
  service_tier: nullable(Type.Enum(['auto', 'default', 'flex', 'scale', 'priority', 'fast'])),
  store: nullable(Type.Boolean()),
  metadata: nullable(Type.Record(Type.String(), Type.String())),
  user: Type.Optional(Type.String()),
  safety_identifier: nullable(Type.String({ maxLength: 64 })),
  prompt_cache_key: nullable(Type.String()),
  prompt_cache_retention: nullable(Type.Enum(['in_memory', '24h'])),
  prompt_cache_options: Type.Optional(
    Type.Object({
      ttl: Type.Optional(Type.Enum(['30m'])),
      mode: Type.Optional(Type.Enum(['implicit', 'explicit']))
    })
  ),
  moderation: nullable(Type.Object({ model: Type.String() })),
  verbosity: nullable(Type.Enum(['low', 'medium', 'high'])),
  prediction: nullable(
    Type.Object({
      type: Type.Literal('content'),
      content: Type.Union([Type.String(), Type.Array(TextPart, { minItems: 1 })])
    })
  ),
  audio: nullable(
    Type.Object({
      voice: Type.Union([Type.String(), Type.Object({ id: Type.String() }, { additionalProperties: false })]),
      format: Type.Enum(['wav', 'aac', 'mp3', 'flac', 'opus', 'pcm16'])
    })
  ),
  web_search_options: Type.Optional(
    Type.Object({
      search_context_size: Type.Optional(Type.Enum(['low', 'medium', 'high'])),
      user_location: nullable(
        Type.Object({
          type: Type.Literal('approximate'),
          approximate: Type.Object({
            country: Type.Optional(Type.String()),
            region: Type.Optional(Type.String()),
            city: Type.Optional(Type.String()),
            timezone: Type.Optional(Type.String())
          })
        })
      )
    })
  )
}

export const ResponseFormat = tagged(
  'type',
  Type.Object({ type: Type.Literal('text') }),
  Type.Object({ type: Type.Literal('json_object') }),
  Type.Object({
    type: Type.Literal('json_schema'),
    json_schema: Type.Object({
      name: Type.String(),
      description: Type.Optional(Type.String()),
      schema: Type.Optional(Type.Object({})),
      strict: nullable(Type.Boolean())
    })
  })
)

export const ChatRequest = Type.Object({
  model: Type.Optional(Type.String()),
  messages: Type.Array(ChatMessage, { minItems: 1 }),
  /** -1: as many as fit (llama.cpp). */
  max_tokens: nullable(Type.Integer()),
  max_completion_tokens: nullable(Type.Integer()),
  n: nullable(Type.Integer({ minimum: 1, maximum: 128 })),
  stream: nullable(Type.Boolean()),
  stream_options: nullable(
    Type.Object({
      include_usage: Type.Optional(Type.Boolean()),
      include_obfuscation: Type.Optional(Type.Boolean())
    })
  ),
  logprobs: nullable(Type.Boolean()),
  top_logprobs: nullable(Type.Integer({ minimum: 0, maximum: 20 })),
  response_format: Type.Optional(ResponseFormat),
  modalities: nullable(Type.Array(Type.Enum(['text', 'audio']))),
  reasoning_effort: nullable(Type.Enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'])),
  tools: Type.Optional(Type.Array(Tool)),
  tool_choice: Type.Optional(ToolChoice),
  parallel_tool_calls: Type.Optional(Type.Boolean()),
  functions: Type.Optional(LegacyFunctions),
  function_call: Type.Optional(LegacyFunctionCall),
  /** Further variables for the model's chat template, e.g. `enable_thinking`. */
  chat_template_kwargs: nullable(Type.Object({})),
  ...samplingFields,
  ...acceptedFields
})
export type ChatRequest = Static<typeof ChatRequest>
