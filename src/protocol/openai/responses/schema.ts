/**
 * Body of `POST /v1/responses`, after OpenAI's specification. Nothing is coerced; fields that are not listed are
 * ignored. Looser than the specification: `model` may be left out, and what it demands of a function tool beside its
 * name.
 */
import { type Static, type TSchema, Type } from 'typebox'
import { tagged } from '../schema/content.js'

const nullable = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

const TextPart = Type.Object({ type: Type.Enum(['input_text', 'output_text', 'text']), text: Type.String() })
const RefusalPart = Type.Object({ type: Type.Literal('refusal'), refusal: Type.String() })
const MediaPart = Type.Object({ type: Type.Enum(['input_image', 'input_file', 'input_audio']) })
const Part = Type.Union([TextPart, RefusalPart, MediaPart])
export type Part = Static<typeof Part>

const MessageItem = Type.Object({
  type: Type.Optional(Type.Literal('message')),
  id: nullable(Type.String()),
  role: Type.Enum(['user', 'assistant', 'system', 'developer']),
  content: Type.Union([Type.String(), Type.Array(Part)])
})

const FunctionCallItem = Type.Object({
  type: Type.Literal('function_call'),
  id: nullable(Type.String()),
  call_id: Type.String(),
  name: Type.String(),
  arguments: Type.String()
})

const FunctionOutputItem = Type.Object({
  type: Type.Literal('function_call_output'),
  id: nullable(Type.String()),
  call_id: Type.String({ minLength: 1 }),
  output: Type.Union([Type.String(), Type.Array(Part)])
})

const Texts = Type.Array(Type.Object({ text: Type.String() }))

const ReasoningItem = Type.Object({
  type: Type.Literal('reasoning'),
  id: nullable(Type.String()),
  summary: Type.Optional(Texts),
  content: nullable(Texts),
  encrypted_content: nullable(Type.String())
})

const ItemReference = Type.Object({ type: nullable(Type.Literal('item_reference')), id: Type.String() })

/** Items of tools that OpenAI runs itself. */
const HostedItem = Type.Object({
  type: Type.Enum([
    'file_search_call',
    'computer_call',
    'computer_call_output',
    'web_search_call',
    'tool_search_call',
    'tool_search_output',
    'additional_tools',
    'compaction',
    'compaction_trigger',
    'image_generation_call',
    'code_interpreter_call',
    'local_shell_call',
    'local_shell_call_output',
    'shell_call',
    'shell_call_output',
    'apply_patch_call',
    'apply_patch_call_output',
    'mcp_list_tools',
    'mcp_approval_request',
    'mcp_approval_response',
    'mcp_call',
    'custom_tool_call',
    'custom_tool_call_output',
    'program',
    'program_output'
  ])
})

export const InputItem = Type.Union([
  MessageItem,
  FunctionCallItem,
  FunctionOutputItem,
  ReasoningItem,
  ItemReference,
  HostedItem
])
export type InputItem = Static<typeof InputItem>

const FunctionTool = Type.Object({
  type: Type.Literal('function'),
  name: Type.String({ minLength: 1 }),
  description: nullable(Type.String()),
  parameters: nullable(Type.Object({})),
  strict: nullable(Type.Boolean())
})
const HostedTool = Type.Object({
  type: Type.Enum([
    'file_search',
    'computer',
    'computer_use_preview',
    'web_search',
    'web_search_2025_08_26',
    'mcp',
    'code_interpreter',
    'programmatic_tool_calling',
    'image_generation',
    'local_shell',
    'shell',
    'custom',
    'namespace',
    'tool_search',
    'web_search_preview',
    'web_search_preview_2025_03_11',
    'apply_patch'
  ])
})
export const ResponseTool = Type.Union([FunctionTool, HostedTool])
export type ResponseTool = Static<typeof ResponseTool>

const ToolChoice = Type.Union([
  Type.Enum(['none', 'auto', 'required']),
  Type.Object({ type: Type.Literal('function'), name: Type.String() }),
  Type.Object({
    type: Type.Literal('allowed_tools'),
    mode: Type.Enum(['auto', 'required']),
    tools: Type.Array(Type.Object({}))
  }),
  Type.Object({
    type: Type.Enum([
      'file_search',
      'web_search_preview',
      'web_search_preview_2025_03_11',
      'computer',
      'computer_use',
      'computer_use_preview',
      'code_interpreter',
      'image_generation',
      'mcp',
      'custom',
      'apply_patch',
      'shell',
      'programmatic_tool_calling'
    ])
  })
])

const TextFormat = tagged(
  'type',
  Type.Object({ type: Type.Literal('text') }),
  Type.Object({ type: Type.Literal('json_object') }),
  Type.Object({
    type: Type.Literal('json_schema'),
    name: Type.String(),
    description: Type.Optional(Type.String()),
    schema: Type.Object({}),
    strict: nullable(Type.Boolean())
  })
)

const promptFields = {
  model: Type.Optional(Type.String()),
  input: Type.Optional(Type.Union([Type.String(), Type.Array(InputItem)])),
  instructions: nullable(Type.String()),
  previous_response_id: nullable(Type.String()),
  conversation: nullable(Type.Union([Type.String(), Type.Object({ id: Type.String() })])),
  tools: Type.Optional(Type.Array(ResponseTool)),
  tool_choice: Type.Optional(ToolChoice),
  parallel_tool_calls: nullable(Type.Boolean()),
  text: Type.Optional(
    Type.Object({
      format: Type.Optional(TextFormat),
      verbosity: nullable(Type.Enum(['low', 'medium', 'high']))
    })
  ),
  reasoning: nullable(
    Type.Object({
      effort: nullable(Type.Enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'])),
      summary: nullable(Type.Enum(['auto', 'concise', 'detailed'])),
      generate_summary: nullable(Type.Enum(['auto', 'concise', 'detailed']))
    })
  ),
  truncation: nullable(Type.Enum(['auto', 'disabled'])),
  /** Not OpenAI's: further variables for the model's chat template. */
  chat_template_kwargs: nullable(Type.Object({}))
}

export const InputTokensRequest = Type.Object(promptFields)

export const ResponseRequest = Type.Object({
  ...promptFields,
  stream: nullable(Type.Boolean()),
  stream_options: nullable(Type.Object({ include_obfuscation: Type.Optional(Type.Boolean()) })),
  store: nullable(Type.Boolean()),
  background: nullable(Type.Boolean()),
  prompt: nullable(Type.Object({ id: Type.String() })),
  include: nullable(
    Type.Array(
      Type.Enum([
        'file_search_call.results',
        'web_search_call.results',
        'web_search_call.action.sources',
        'message.input_image.image_url',
        'computer_call_output.output.image_url',
        'code_interpreter_call.outputs',
        'reasoning.encrypted_content',
        'message.output_text.logprobs'
      ])
    )
  ),
  max_output_tokens: nullable(Type.Integer({ minimum: 1 })),
  max_tool_calls: nullable(Type.Integer()),
  temperature: nullable(Type.Number({ minimum: 0, maximum: 2 })),
  top_p: nullable(Type.Number({ minimum: 0, maximum: 1 })),
  top_logprobs: nullable(Type.Integer({ minimum: 0, maximum: 20 })),
  metadata: nullable(Type.Record(Type.String(), Type.String())),
  user: Type.Optional(Type.String()),
  safety_identifier: nullable(Type.String({ maxLength: 64 })),
  prompt_cache_key: nullable(Type.String()),
  service_tier: nullable(Type.Enum(['auto', 'default', 'flex', 'scale', 'priority', 'fast'])),
  /** Not OpenAI's for this route: as in the others. */
  seed: nullable(Type.Integer({ minimum: -(2 ** 63), maximum: 2 ** 63 })),
  top_k: nullable(Type.Integer({ minimum: -1 })),
  min_p: nullable(Type.Number({ minimum: 0, maximum: 1 })),
  cache_salt: nullable(Type.String())
})
export type ResponseRequest = Static<typeof ResponseRequest>
