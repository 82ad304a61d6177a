/** Generation without a model: random tokens out of what the mask allows. */
import type { Matcher } from '../../../src/engine/constraint/matcher.js'
import type { Vocabulary } from '../../../src/engine/constraint/vocabulary.js'

export type Random = () => number

/** mulberry32: 0 <= x < 1, the same for the same seed. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export interface Walk {
  text: string
  tokens: number[]
  ended: boolean
}

/** Draws until the answer ends. Tokens that close something become likelier, so that it does. */
export async function walk(
  matcher: Matcher,
  vocabulary: Vocabulary,
  random: Random,
  { most = 1500, closeAfter = 30 } = {}
): Promise<Walk> {
  const closing = new Set(vocabulary.stopTokens)
  for (let token = 0; token < vocabulary.size; token++) {
    if (/^["\]}]+$/.test(Buffer.from(vocabulary.piece(token)).toString())) closing.add(token)
  }
  const logits = new Float32Array(vocabulary.size)
  const tokens: number[] = []
  while (!matcher.isDone && tokens.length < most) {
    logits.fill(0)
    if (!matcher.mask(logits)) {
      await matcher.whenReady(20_000)
      matcher.mask(logits)
    }
    const allowed: number[] = []
    for (let token = 0; token < logits.length; token++) if (logits[token] === 0) allowed.push(token)
    if (allowed.length === 0) throw new Error(`dead end after ${textOf(vocabulary, tokens)}`)
    const close =
      tokens.length > closeAfter && random() < 0.6 ? allowed.filter(token => closing.has(token)) : []
    const choice = close.length > 0 ? close : allowed
    const token = choice[Math.floor(random() * choice.length)]!
    if (!matcher.accept(token)) throw new Error('a token that the mask allowed was refused')
    tokens.push(token)
    // The engine's step: messages go out.
    await new Promise(setImmediate)
  }
  return { text: textOf(vocabulary, tokens), tokens, ended: matcher.isDone }
}

/** Whether the tokens are allowed one after the other, and the end of the answer behind them. */
export async function accepts(matcher: Matcher, vocabulary: Vocabulary, tokens: number[]): Promise<boolean> {
  for (const token of [...tokens, vocabulary.stopTokens[0]!]) {
    await matcher.whenReady(20_000)
    if (!matcher.accept(token)) return false
    await new Promise(setImmediate)
  }
  return matcher.isDone
}

export function textOf(vocabulary: Vocabulary, tokens: number[]): string {
  const stops = new Set(vocabulary.stopTokens)
  return Buffer.concat(
    tokens.filter(token => !stops.has(token)).map(token => vocabulary.piece(token, true))
  ).toString()
}
