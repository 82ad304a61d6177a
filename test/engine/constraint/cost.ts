/**
 * What constraining costs, in numbers. Not a test: `node dist/test/engine/constraint/cost.js [vocabulary.gguf]`.
 * Any GGUF with a byte-level BPE vocabulary will do, llama.cpp's `models/ggml-vocab-qwen2.gguf` for 151k tokens.
 */
import type { ConstraintInput } from '../../../src/engine/constraint/constraint.js'
import { createConstraintService } from '../../../src/engine/constraint/service.js'
import { readVocabulary, spell } from './vocabulary.js'

const parameters = {
  type: 'object',
  properties: {
    path: { type: 'string' },
    limit: { type: 'integer', minimum: 1, maximum: 500 },
    mode: { enum: ['read', 'write'] },
    tags: { type: 'array', items: { type: 'string' } }
  },
  required: ['path', 'mode']
}
const prose = 'It is warm and dry, a < b, and nobody asks why; "quotes" do not matter here. '
const document = `{"path": "${'some/long/path and words '.repeat(8)}", "limit": 20, "mode": "read", "tags": ["a", "bc"]}`
const call = `<tool_call>\n{"name": "read_file", "arguments": ${document}}\n</tool_call>`
const cases: Array<{ name: string; constraint: ConstraintInput; text: string }> = [
  {
    name: 'json_schema',
    constraint: { type: 'json_schema', strict: true, schema: parameters },
    text: document
  },
  { name: 'json_object', constraint: { type: 'json_object' }, text: document },
  {
    name: 'pattern, date, 20 characters',
    constraint: {
      type: 'json_schema',
      strict: true,
      schema: {
        type: 'object',
        properties: {
          a: { type: 'string', pattern: '^[a-z]+(-[a-z]+)*$' },
          b: { type: 'string', format: 'date-time' },
          c: { type: 'string', maxLength: 20 }
        },
        required: ['a', 'b', 'c']
      }
    },
    text: '{"a": "one-two", "b": "2026-01-02T03:04:05Z", "c": "twenty characters"}'
  },
  {
    name: 'tools, auto, thinking',
    constraint: {
      type: 'tools',
      format: 'hermes',
      choice: 'auto',
      parallel: true,
      tools: ['read_file', 'list_files', 'search'].map(name => ({ name, parameters })),
      thinking: { kind: 'tags', open: '<think>', close: '</think>', opened: false }
    },
    text: `<think>${prose.repeat(6)}</think>\n\n${prose.repeat(6)}${call}`
  },
  {
    name: 'grammar: llama.cpp json.gbnf',
    constraint: {
      type: 'grammar',
      grammar: [
        'root ::= object',
        'value ::= object | array | string | number | ("true" | "false" | "null") ws',
        'object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws',
        'array ::= "[" ws (value ("," ws value)*)? "]" ws',
        'string ::= "\\"" ([^"\\\\\\x7F\\x00-\\x1F] | "\\\\" (["\\\\bfnrt] | "u" [0-9a-fA-F]{4}))* "\\"" ws',
        'number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws',
        'ws ::= | " " | "\\n" [ \\t]{0,20}'
      ].join('\n')
    },
    text: document
  }
]

const vocabulary = await readVocabulary(process.argv[2])
let started = performance.now()
const service = createConstraintService({ vocabulary })
await service.warm()
print(`vocabulary of ${vocabulary.size}: thread ready after ${elapsed()} ms`)
for (const { name, constraint, text } of cases) {
  started = performance.now()
  const compiled = await service.compile(constraint)
  const compileMs = elapsed()
  const tokens = spell(vocabulary, text)
  const logits = new Float32Array(vocabulary.size)
  const stages: Record<'mask made' | 'mask applied' | 'accept', number[]> = {
    'mask made': [],
    'mask applied': [],
    accept: []
  }
  for (let round = 0; round < 3; round++) {
    const matcher = compiled.matcher()
    await matcher.whenReady(10_000)
    for (const token of tokens) {
      let from = performance.now()
      while (!matcher.mask(logits, 1000));
      stages['mask applied'].push(performance.now() - from)
      from = performance.now()
      if (!matcher.accept(token)) throw new Error(`${name}: refused a token of the text`)
      stages.accept.push(performance.now() - from)
      from = performance.now()
      // The message leaves in a microtask; then the engine would be in llama_decode.
      await null
      matcher.mask(logits.subarray(0, 0), 1000)
      stages['mask made'].push(performance.now() - from)
    }
    matcher.free()
  }
  print(`${name}: compile ${compileMs} ms, ${tokens.length} tokens`)
  for (const [stage, times] of Object.entries(stages)) {
    times.sort((a, b) => a - b)
    const at = (part: number) => `${(times[Math.floor(part * (times.length - 1))]! * 1000).toFixed(0)}`
    print(`  ${stage}: p50 ${at(0.5)}, p95 ${at(0.95)}, p99 ${at(0.99)}, max ${at(1)} us`)
  }
}
await service.dispose()

function elapsed(): string {
  return (performance.now() - started).toFixed(0)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
