import { nestedDeeper } from '../nesting.js'
import { type AnswerOptions, createAnswerParser } from '../tools/parser.js'
import { partialJson } from './partial-json.js'

/** Whether two texts of an assistant turn read as the same message: blanks at the edges and in JSON do not count. */
export function sameTurn(a: string, b: string, options: AnswerOptions): boolean {
  if (a === b) return true
  const { thinking } = options
  const whole = thinking?.kind === 'tags' ? { ...options, thinking: { ...thinking, opened: false } } : options
  return reading(a, whole) === reading(b, whole)
}

function reading(text: string, options: AnswerOptions): string {
  const parser = createAnswerParser(options)
  const turn = { content: '', reasoning: '', calls: [] as Array<{ name: string; arguments: string }> }
  for (const event of [...parser.push(text), ...parser.end()]) {
    if (event.type === 'content' || event.type === 'reasoning') turn[event.type] += event.text
    else if (event.type === 'call') turn.calls.push({ name: event.name, arguments: '' })
    else if (event.type === 'arguments') {
      const call = turn.calls.at(-1)
      if (call) call.arguments += event.text
    }
  }
  const calls = turn.calls.map(call => [call.name, canonicalJson(call.arguments)])
  return JSON.stringify([turn.content.trim(), turn.reasoning.trim(), calls])
}

/**
 * One spelling for equal JSON with the same order of keys. Arguments that were cut off are no JSON; some protocols give
 * them back as the object that was written so far.
 */
export function canonicalJson(text: string): string {
  const value = partialJson(text) ?? {}
  return nestedDeeper(value) ? '{}' : JSON.stringify(value)
}
