/** Tools, and how they may be chosen, as OpenAI's specification has them. */
import { type Static, Type } from 'typebox'

const FunctionDefinition = Type.Object({
  name: Type.String(),
  description: Type.Optional(Type.String()),
  parameters: Type.Optional(Type.Object({})),
  strict: Type.Optional(Type.Union([Type.Boolean(), Type.Null()]))
})

const CustomDefinition = Type.Object({
  name: Type.String(),
  description: Type.Optional(Type.String()),
  format: Type.Optional(
    Type.Union([
      Type.Object({ type: Type.Literal('text') }, { additionalProperties: false }),
      Type.Object(
        {
          type: Type.Literal('grammar'),
          grammar: Type.Object({ definition: Type.String(), syntax: Type.Enum(['lark', 'regex']) })
        },
        { additionalProperties: false }
      )
    ])
  )
})

export const Tool = Type.Unsafe<
  | { type: 'function'; function: Static<typeof FunctionDefinition> }
  | { type: 'custom'; custom: Static<typeof CustomDefinition> }
>({
  type: 'object',
  required: ['type'],
  discriminator: { propertyName: 'type' },
  oneOf: [
    Type.Object({ type: Type.Literal('function'), function: FunctionDefinition }),
    Type.Object({ type: Type.Literal('custom'), custom: CustomDefinition })
  ]
})
export type Tool = Static<typeof Tool>

export const ToolChoice = Type.Union([
  Type.Enum(['none', 'auto', 'required']),
  Type.Object({
    type: Type.Literal('function'),
    function: Type.Object({ name: Type.String() })
  }),
  Type.Object({
    type: Type.Literal('allowed_tools'),
    allowed_tools: Type.Object({
      mode: Type.Enum(['auto', 'required']),
      tools: Type.Array(Type.Object({}))
    })
  }),
  Type.Object({ type: Type.Literal('custom'), custom: Type.Object({ name: Type.String() }) })
])
export type ToolChoice = Static<typeof ToolChoice>

/** Deprecated by OpenAI in favour of `tools` and `tool_choice`. */
export const LegacyFunctions = Type.Array(Type.Omit(FunctionDefinition, ['strict']), {
  minItems: 1,
  maxItems: 128
})
export const LegacyFunctionCall = Type.Union([
  Type.Enum(['none', 'auto']),
  Type.Object({ name: Type.String() })
])
