/**
 * How models write tool calls, as data: what the grammar forces and what the stream parser looks for. Each follows the
 * chat template of the model family it is named after.
 */

/**
 * `json`: {"name": ..., "arguments": ...} objects. `named`: the name stands before the arguments, between markers. `xml`:
 * each argument has tags of its own.
 */
export type ToolSyntax = JsonSyntax | NamedSyntax | XmlSyntax

interface Common {
  name: ToolFormat
  /**
   * Texts that begin a section of calls. Empty: a call is told by the answer beginning with a JSON object.
   */
  triggers: string[]
  /** Closes a section of calls; '' when only the end of the answer does. */
  close: string
  /** Between two calls of one section; null: only one call per section. */
  separator: string | null
  /** Marker texts that may be control tokens of the vocabulary. */
  control: string[]
  /** Length of call ids that the template insists on; null: `call_` and 24 characters. */
  idLength: number | null
}

export interface JsonSyntax extends Common {
  style: 'json'
  /** The member that holds the arguments. */
  argumentsKey: 'arguments' | 'parameters'
  /** The calls of a section stand in one JSON array. */
  array: boolean
  /** White space that the template puts around the object. */
  padding: string
}

export interface NamedSyntax extends Common {
  style: 'named'
  /** Before the name of each call, behind the trigger. */
  open: string
  /** Between name and arguments; the first is what the grammar writes, all are understood. */
  middle: string[]
  /** Behind the arguments. */
  end: string
  /** Stands before every name, and behind it `:` and a number. */
  numbered?: string
}

/** Texts stand between the tags as they are, other values as JSON. Blanks between tags mean nothing. */
export interface XmlSyntax extends Common {
  style: 'xml'
  /** Before and behind the name of a call. '' behind: it ends with its line, or where a tag begins. */
  open: string
  nameEnd: string
  /** Before a key, between key and value, behind a value. */
  keyOpen: string
  keyEnd: string[]
  valueEnd: string
  /** Behind the last value; '': what closes the section. */
  end: string
  /** Values stand on lines of their own: one line break on either side does not belong to them. */
  lines: boolean
}

export type ToolFormat =
  | 'hermes'
  | 'llama3'
  | 'mistral'
  | 'mistral-args'
  | 'deepseek'
  | 'deepseek-v3.1'
  | 'function-tag'
  | 'harmony'
  | 'kimi'
  | 'qwen-coder'
  | 'glm'
  | 'minimax'
  | 'generic'

const HERMES = {
  style: 'json',
  triggers: ['<tool_call>'],
  close: '</tool_call>',
  separator: null,
  control: ['<tool_call>', '</tool_call>'],
  idLength: null,
  argumentsKey: 'arguments',
  array: false,
  padding: '\n'
} as const

const DEEPSEEK = {
  style: 'named',
  triggers: ['<｜tool▁calls▁begin｜>'],
  close: '<｜tool▁calls▁end｜>',
  control: [
    '<｜tool▁calls▁begin｜>',
    '<｜tool▁calls▁end｜>',
    '<｜tool▁call▁begin｜>',
    '<｜tool▁call▁end｜>',
    '<｜tool▁sep｜>'
  ],
  idLength: null
} as const

export const TOOL_SYNTAXES: Readonly<Record<ToolFormat, ToolSyntax>> = {
  hermes: { name: 'hermes', ...HERMES, triggers: [...HERMES.triggers], control: [...HERMES.control] },
  generic: { name: 'generic', ...HERMES, triggers: [...HERMES.triggers], control: [...HERMES.control] },
  llama3: {
    name: 'llama3',
    style: 'json',
    triggers: ['<|python_tag|>'],
    close: '',
    separator: '; ',
    control: ['<|python_tag|>'],
    idLength: null,
    argumentsKey: 'parameters',
    array: false,
    padding: ''
  },
  mistral: {
    name: 'mistral',
    style: 'json',
    triggers: ['[TOOL_CALLS]'],
    close: '',
    separator: ', ',
    control: ['[TOOL_CALLS]'],
    idLength: 9,
    argumentsKey: 'arguments',
    array: true,
    padding: ''
  },
  'mistral-args': {
    name: 'mistral-args',
    style: 'named',
    triggers: ['[TOOL_CALLS]'],
    open: '',
    middle: ['[ARGS]'],
    end: '',
    close: '',
    separator: '[TOOL_CALLS]',
    control: ['[TOOL_CALLS]', '[ARGS]', '[CALL_ID]'],
    idLength: 9
  },
  deepseek: {
    name: 'deepseek',
    ...DEEPSEEK,
    triggers: [...DEEPSEEK.triggers],
    control: [...DEEPSEEK.control],
    open: '<｜tool▁call▁begin｜>function<｜tool▁sep｜>',
    middle: ['\n```json\n'],
    end: '\n```<｜tool▁call▁end｜>',
    separator: '\n'
  },
  'deepseek-v3.1': {
    name: 'deepseek-v3.1',
    ...DEEPSEEK,
    triggers: [...DEEPSEEK.triggers],
    control: [...DEEPSEEK.control],
    open: '<｜tool▁call▁begin｜>',
    middle: ['<｜tool▁sep｜>'],
    end: '<｜tool▁call▁end｜>',
    separator: ''
  },
  'function-tag': {
    name: 'function-tag',
    style: 'named',
    triggers: ['<function='],
    open: '',
    middle: ['>'],
    end: '</function>',
    close: '',
    separator: null,
    control: [],
    idLength: null
  },
  harmony: {
    name: 'harmony',
    style: 'named',
    triggers: ['<|channel|>commentary to=functions.', '<|start|>assistant to=functions.'],
    open: '',
    middle: [
      ' <|constrain|>json<|message|>',
      '<|channel|>commentary <|constrain|>json<|message|>',
      '<|channel|>commentary json<|message|>',
      ' json<|message|>',
      '<|constrain|>json<|message|>',
      '<|message|>'
    ],
    end: '',
    close: '',
    separator: null,
    control: ['<|channel|>', '<|start|>', '<|message|>', '<|constrain|>', '<|end|>'],
    idLength: null
  },
  kimi: {
    name: 'kimi',
    style: 'named',
    triggers: ['<|tool_calls_section_begin|>'],
    open: '<|tool_call_begin|>',
    numbered: 'functions.',
    middle: ['<|tool_call_argument_begin|>'],
    end: '<|tool_call_end|>',
    close: '<|tool_calls_section_end|>',
    separator: '',
    control: [
      '<|tool_calls_section_begin|>',
      '<|tool_calls_section_end|>',
      '<|tool_call_begin|>',
      '<|tool_call_argument_begin|>',
      '<|tool_call_end|>'
    ],
    idLength: null
  },
  'qwen-coder': {
    name: 'qwen-coder',
    style: 'xml',
    // These models leave the first tag out now and then.
    triggers: ['<tool_call>', '<function='],
    open: '<function=',
    nameEnd: '>',
    keyOpen: '<parameter=',
    keyEnd: ['>'],
    valueEnd: '</parameter>',
    end: '</function>',
    separator: null,
    idLength: null,
    close: '</tool_call>',
    control: ['<tool_call>', '</tool_call>'],
    lines: true
  },
  glm: {
    name: 'glm',
    style: 'xml',
    triggers: ['<tool_call>'],
    open: '',
    nameEnd: '',
    keyOpen: '<arg_key>',
    keyEnd: ['</arg_key>', '<arg_value>'],
    valueEnd: '</arg_value>',
    end: '',
    close: '</tool_call>',
    separator: null,
    control: ['<tool_call>', '</tool_call>', '<arg_key>', '</arg_key>', '<arg_value>', '</arg_value>'],
    idLength: null,
    lines: false
  },
  minimax: {
    name: 'minimax',
    style: 'xml',
    triggers: ['<minimax:tool_call>'],
    open: '<invoke name="',
    nameEnd: '">',
    keyOpen: '<parameter name="',
    keyEnd: ['">'],
    valueEnd: '</parameter>',
    end: '</invoke>',
    close: '</minimax:tool_call>',
    separator: '',
    control: ['<minimax:tool_call>', '</minimax:tool_call>'],
    idLength: null,
    lines: false
  }
}

export function isToolFormat(name: string): name is ToolFormat {
  return Object.hasOwn(TOOL_SYNTAXES, name)
}
