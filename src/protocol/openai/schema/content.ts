/** Content parts and messages of a chat request, as OpenAI's specification has them. */
import { type Static, type TSchema, Type } from 'typebox'

/** One of several object types told apart by a tag; ajv then reports only what is wrong with the named one. */
export function tagged<T extends TSchema[]>(tag: string, ...members: T) {
  return Type.Unsafe<Static<T[number]>>({
    type: 'object',
    required: [tag],
    discriminator: { propertyName: tag },
    oneOf: members
  })
}

/** Where a client says that a prefix ends; ours are found without. */
const cacheBreakpoint = Type.Optional(Type.Object({ mode: Type.Literal('explicit') }))

export const TextPart = Type.Object({
  type: Type.Literal('text'),
  text: Type.String(),
  prompt_cache_breakpoint: cacheBreakpoint
})

const ImagePart = Type.Object({
  type: Type.Literal('image_url'),
  image_url: Type.Object({
    url: Type.String(),
    detail: Type.Optional(Type.Enum(['auto', 'low', 'high']))
  }),
  prompt_cache_breakpoint: cacheBreakpoint
})

const AudioPart = Type.Object({
  type: Type.Literal('input_audio'),
  input_audio: Type.Object({ data: Type.String(), format: Type.Enum(['wav', 'mp3']) }),
  prompt_cache_breakpoint: cacheBreakpoint
})

const FilePart = Type.Object({
  type: Type.Literal('file'),
  file: Type.Object({
    filename: Type.Optional(Type.String()),
    file_data: Type.Optional(Type.String()),
    file_id: Type.Optional(Type.String())
  }),
  prompt_cache_breakpoint: cacheBreakpoint
})

const RefusalPart = Type.Object({ type: Type.Literal('refusal'), refusal: Type.String() })

const textContent = Type.Union([Type.String(), Type.Array(tagged('type', TextPart), { minItems: 1 })])

const FunctionCall = Type.Object({ name: Type.String(), arguments: Type.String() })

const ToolCall = tagged(
  'type',
  Type.Object({ id: Type.String(), type: Type.Literal('function'), function: FunctionCall }),
  Type.Object({
    id: Type.String(),
    type: Type.Literal('custom'),
    custom: Type.Object({ name: Type.String(), input: Type.String() })
  })
)

const optionalName = Type.Optional(Type.String())

const SystemMessage = Type.Object({ role: Type.Literal('system'), content: textContent, name: optionalName })

const DeveloperMessage = Type.Object({
  role: Type.Literal('developer'),
  content: textContent,
  name: optionalName
})

const UserMessage = Type.Object({
  role: Type.Literal('user'),
  content: Type.Union([
    Type.String(),
    Type.Array(tagged('type', TextPart, ImagePart, AudioPart, FilePart), { minItems: 1 })
  ]),
  name: optionalName
})

const AssistantMessage = Type.Object({
  role: Type.Literal('assistant'),
  content: Type.Optional(
    Type.Union([
      Type.String(),
      Type.Array(tagged('type', TextPart, RefusalPart), { minItems: 1 }),
      Type.Null()
    ])
  ),
  refusal: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  name: optionalName,
  /** Not OpenAI's: thinking that comes back as history, as DeepSeek and llama.cpp name it. */
  reasoning_content: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  audio: Type.Optional(Type.Union([Type.Object({ id: Type.String() }), Type.Null()])),
  tool_calls: Type.Optional(Type.Array(ToolCall)),
  function_call: Type.Optional(Type.Union([FunctionCall, Type.Null()]))
})

const ToolMessage = Type.Object({
  role: Type.Literal('tool'),
  content: textContent,
  tool_call_id: Type.String()
})

/** Deprecated by OpenAI in favour of `tool`. */
const FunctionMessage = Type.Object({
  role: Type.Literal('function'),
  content: Type.Union([Type.String(), Type.Null()]),
  name: Type.String()
})

export const ChatMessage = tagged(
  'role',
  SystemMessage,
  DeveloperMessage,
  UserMessage,
  AssistantMessage,
  ToolMessage,
  FunctionMessage
)
export type ChatMessage = Static<typeof ChatMessage>
