import type { PromptSegment } from '../../engine/messages.js'
import type { RenderedPrompt } from './types.js'

/**
 * A rendered prompt as the engine takes it: texts, and between them the turns whose tokens are remembered. Read again,
 * a text may give other tokens than the model drew, and the cached prefix would end there.
 *
 * @param prefill text behind the prompt: the beginning of the answer
 */
export function promptSegments(
  { text, addSpecial, anchors, drawn }: Pick<RenderedPrompt, 'text' | 'addSpecial' | 'anchors' | 'drawn'>,
  prefill = ''
): PromptSegment[] {
  const segments: PromptSegment[] = []
  const addText = (start: number, end: number, more = '') => {
    const part = text.slice(start, end) + more
    if (part === '' && segments.length > 0) return
    segments.push({
      type: 'text',
      text: part,
      parseSpecial: true,
      addSpecial: addSpecial && segments.length === 0,
      anchors: anchors.filter(anchor => anchor >= start && anchor <= end).map(anchor => anchor - start)
    })
  }
  let at = 0
  for (const { start, end, tokens } of drawn) {
    addText(at, start)
    segments.push({ type: 'tokens', tokens: [...tokens] })
    at = end
  }
  addText(at, text.length, prefill)
  return segments
}
