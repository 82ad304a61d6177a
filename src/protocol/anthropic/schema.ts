/**
 * Body of `POST /v1/messages` and `/v1/messages/count_tokens`, after Anthropic's API reference and SDK. Nothing is
 * coerced; fields that are not listed (`cache_control`, `citations`, ...) are ignored.
 */
import { type Static, type TSchema, Type } from 'typebox'

const nullable = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

/** One of several object types told apart by `type`; ajv then reports only what is wrong with the named one. */
function tagged<T extends TSchema[]>(...members: T) {
  return Type.Unsafe<Static<T[number]>>({
    type: 'object',
    required: ['type'],
    discriminator: { propertyName: 'type' },
    oneOf: members
  })
}

const TextBlock = Type.Object({ type: Type.Literal('text'), text: Type.String() })
const ImageBlock = Type.Object({ type: Type.Literal('image'), source: Type.Object({}) })
const DocumentBlock = Type.Object({
  type: Type.Literal('document'),
  source: Type.Object({ type: Type.String(), data: Type.Optional(Type.String()) }),
  title: nullable(Type.String())
})
const SearchResultBlock = Type.Object({ type: Type.Literal('search_result') })
const ToolReferenceBlock = Type.Object({ type: Type.Literal('tool_reference') })
const ThinkingBlock = Type.Object({
  type: Type.Literal('thinking'),
  thinking: Type.String(),
  signature: Type.Optional(Type.String())
})
const RedactedThinkingBlock = Type.Object({ type: Type.Literal('redacted_thinking') })
const ToolUseBlock = Type.Object({
  type: Type.Literal('tool_use'),
  id: Type.String(),
  name: Type.String(),
  input: Type.Object({})
})
const ToolResultBlock = Type.Object({
  type: Type.Literal('tool_result'),
  tool_use_id: Type.String(),
  is_error: nullable(Type.Boolean()),
  content: nullable(
    Type.Union([
      Type.String(),
      Type.Array(tagged(TextBlock, ImageBlock, DocumentBlock, SearchResultBlock, ToolReferenceBlock))
    ])
  )
})

const ContentBlock = tagged(
  TextBlock,
  ImageBlock,
  DocumentBlock,
  SearchResultBlock,
  ThinkingBlock,
  RedactedThinkingBlock,
  ToolUseBlock,
  ToolResultBlock
)
export type ContentBlock = Static<typeof ContentBlock>

const Message = Type.Object({
  role: Type.Enum(['user', 'assistant']),
  content: Type.Union([Type.String(), Type.Array(ContentBlock)])
})
export type Message = Static<typeof Message>

/** A tool of the client's; server tools have a dated `type` and are refused. */
const Tool = Type.Object({
  type: nullable(Type.String()),
  name: Type.String({ minLength: 1 }),
  description: Type.Optional(Type.String()),
  input_schema: Type.Optional(Type.Object({})),
  strict: nullable(Type.Boolean())
})

const noParallel = { disable_parallel_tool_use: Type.Optional(Type.Boolean()) }
const ToolChoice = tagged(
  Type.Object({ type: Type.Literal('auto'), ...noParallel }),
  Type.Object({ type: Type.Literal('any'), ...noParallel }),
  Type.Object({ type: Type.Literal('tool'), name: Type.String(), ...noParallel }),
  Type.Object({ type: Type.Literal('none') })
)

const Thinking = tagged(
  Type.Object({ type: Type.Literal('enabled'), budget_tokens: Type.Integer({ minimum: 1 }) }),
  Type.Object({ type: Type.Literal('adaptive') }),
  Type.Object({ type: Type.Literal('disabled') })
)

const JsonFormat = Type.Object({ type: Type.Literal('json_schema'), schema: Type.Object({}) })

const promptFields = {
  model: Type.Optional(Type.String()),
  messages: Type.Array(Message, { minItems: 1 }),
  system: nullable(Type.Union([Type.String(), Type.Array(TextBlock)])),
  tools: Type.Optional(Type.Array(Tool)),
  tool_choice: Type.Optional(ToolChoice),
  thinking: Type.Optional(Thinking),
  output_config: nullable(Type.Object({ format: nullable(JsonFormat), effort: nullable(Type.String()) }))
}

export const CountTokensRequest = Type.Object(promptFields)
export type CountTokensRequest = Static<typeof CountTokensRequest>

export const MessagesRequest = Type.Object({
  ...promptFields,
  max_tokens: Type.Integer({ minimum: 1 }),
  /** The name that the format had while it was new. */
  output_format: nullable(JsonFormat),
  stream: Type.Optional(Type.Boolean()),
  stop_sequences: nullable(Type.Array(Type.String(), { maxItems: 64 })),
  temperature: nullable(Type.Number({ minimum: 0, maximum: 1 })),
  top_p: nullable(Type.Number({ minimum: 0, maximum: 1 })),
  top_k: nullable(Type.Integer({ minimum: 0 })),
  metadata: nullable(Type.Object({ user_id: nullable(Type.String()) })),
  service_tier: Type.Optional(Type.String()),
  /** Not Anthropic's: as in the other routes. */
  seed: nullable(Type.Integer({ minimum: -(2 ** 63), maximum: 2 ** 63 })),
  cache_salt: nullable(Type.String())
})
export type MessagesRequest = Static<typeof MessagesRequest>
