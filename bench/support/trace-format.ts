import type { Prompts } from './prompts.js'

/** Tokens that one hash id of the trace stands for. */
const blockTokens = 512

export interface TraceLine {
  /** Milliseconds from the start of the trace. */
  timestamp: number
  input_length: number
  output_length: number
  /** One per block of 512 tokens; an id names the block and all before it. */
  hash_ids: number[]
}

export interface PlannedRequest {
  /** Milliseconds from the start of the replay. */
  atMs: number
  inputTokens: number
  outputTokens: number
  blocks: number[]
  /** Tokens of a whole block. */
  blockTokens: number
}

/** @throws Error naming the line that is not of the format. */
export function parseTrace(text: string): TraceLine[] {
  return text
    .split('\n')
    .filter(line => line.trim() !== '')
    .map((line, i) => {
      const value = JSON.parse(line) as TraceLine
      if (!Number.isFinite(value.timestamp) || !(value.input_length > 0) || !Array.isArray(value.hash_ids)) {
        throw new Error(`line ${i + 1} of the trace has no timestamp, input_length or hash_ids`)
      }
      return value
    })
}

/** A slice with lengths divided by `scale` (at least one token) and time stretched to `rate` requests a second. */
export function replayPlan(
  trace: TraceLine[],
  slice: { skip: number; requests: number; scale: number; rate: number }
): PlannedRequest[] {
  const lines = trace.slice(slice.skip, slice.skip + slice.requests)
  const first = lines[0]?.timestamp ?? 0
  const span = (lines.at(-1)?.timestamp ?? 0) - first
  const stretch = span > 0 ? (lines.length * 1000) / slice.rate / span : 0
  const shorter = (tokens: number) => Math.max(1, Math.round(tokens / slice.scale))
  return lines.map(line => ({
    atMs: (line.timestamp - first) * stretch,
    inputTokens: shorter(line.input_length),
    outputTokens: shorter(line.output_length),
    blocks: line.hash_ids,
    blockTokens: blockTokens / slice.scale
  }))
}

/** The text of a prompt: equal block ids give equal words, so that equal beginnings of the trace are equal here. */
export function tracePrompt(request: PlannedRequest, prompts: Prompts, tokensPerWord: number): string {
  const texts: string[] = []
  let left = request.inputTokens
  for (const id of request.blocks) {
    if (left <= 0) break
    const words = Math.round(Math.min(left, request.blockTokens) / tokensPerWord)
    if (words > 0) texts.push(prompts.text(`block ${id}`, words))
    left -= request.blockTokens
  }
  return texts.length > 0 ? texts.join(' ') : prompts.text(`block ${request.blocks[0] ?? 0}`, 1)
}
