/** Thinking before the answer, as the grammar sees it. */
import { alt, chars, type Node, repeat, seq, text } from './grammar.js'

/** `tags`: `<think>...</think>`. `channels`: gpt-oss harmony, thinking on the analysis channel, the answer on the final one. */
export type Thinking =
  | {
      kind: 'tags'
      open: string
      close: string
      /** The prompt ends inside of the thinking. */
      opened: boolean
    }
  | { kind: 'channels' }

export function thinkingControl(thinking: Thinking | undefined): string[] {
  if (!thinking) return []
  if (thinking.kind === 'tags') return [thinking.open, thinking.close]
  return ['<|channel|>', '<|start|>', '<|message|>', '<|end|>']
}

const BREAK: Node = repeat(
  chars([
    [0x0a, 0x0a],
    [0x20, 0x20]
  ]),
  0,
  4
)

/** The answer with the thinking in front of it. */
export function afterThinking(thinking: Thinking | undefined, answer: Node): Node {
  if (!thinking) return answer
  if (thinking.kind === 'tags') {
    const rest = seq({ kind: 'until', stop: thinking.close }, BREAK, answer)
    return thinking.opened ? rest : alt(answer, seq(text(thinking.open), rest))
  }
  const analysis = seq(
    text('<|channel|>analysis<|message|>'),
    { kind: 'until', stop: '<|end|>' },
    text('<|start|>assistant')
  )
  return seq(alt(text(''), analysis), text('<|channel|>final<|message|>'), answer)
}
