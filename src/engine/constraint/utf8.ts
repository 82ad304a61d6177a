/** Sets of characters as sequences of byte ranges. */
import type { CharSet } from './charset.js'

export type ByteRange = readonly [low: number, high: number]

const STEPS = [0x7f, 0x7ff, 0xffff, 0x10ffff]

/** Sequences of byte ranges that together match exactly the UTF-8 of the set's characters. */
export function utf8Sequences(set: CharSet): ByteRange[][] {
  return set.flatMap(([low, high]) =>
    STEPS.flatMap((last, i) => {
      const first = i === 0 ? 0 : STEPS[i - 1]! + 1
      return low > last || high < first
        ? []
        : sequences(encode(Math.max(low, first)), encode(Math.min(high, last)))
    })
  )
}

function encode(code: number): number[] {
  return [...new TextEncoder().encode(String.fromCodePoint(code))]
}

/** Between two encodings of one length, compared byte by byte: a part below, a middle, a part above. */
function sequences(low: number[], high: number[]): ByteRange[][] {
  const [a, ...lowRest] = low as [number, ...number[]]
  const [b, ...highRest] = high as [number, ...number[]]
  if (lowRest.length === 0) return [[[a, b]]]
  const least = lowRest.map(() => 0x80)
  const most = lowRest.map(() => 0xbf)
  const behind = (byte: number, from: number[], to: number[]) =>
    sequences(from, to).map(rest => [[byte, byte], ...rest] as ByteRange[])
  if (a === b) return behind(a, lowRest, highRest)
  const found: ByteRange[][] = []
  let from = a
  let to = b
  if (lowRest.some(byte => byte !== 0x80)) {
    found.push(...behind(a, lowRest, most))
    from++
  }
  if (highRest.some(byte => byte !== 0xbf)) to--
  if (from <= to) found.push([[from, to], ...least.map(() => [0x80, 0xbf] as const)])
  if (to < b) found.push(...behind(b, least, highRest))
  return found
}
