import { commonPrefix } from '../token-list.js'
import type { Stream } from './stream.js'

/** A prompt with at most this many tokens to go is short: it gets its share of a step before long ones. */
const SHORT_PROMPT = 256

/** While long prompts are being computed, short ones get at most this part of the step together. */
const SHORT_SHARE = 0.5

/**
 * Divides the prompt rows of a step. Prompts are served by arrival, tenants in turn, so that one tenant's flood does
 * not hold up another; short prompts go first within half of the step, so that a 50-token request behind a
 * 50,000-token prompt gets its first token soon, and the long one still advances every step.
 *
 * @returns rows per stream, in the order of `streams`; their sum is at most `rows`.
 */
export function sharePromptRows(streams: readonly Stream[], rows: number): number[] {
  const shares = streams.map(() => 0)
  const order = inTurns(streams)
  const isShort = (index: number) => (streams[index] as Stream).behind <= SHORT_PROMPT
  const short = order.filter(isShort)
  const long = order.filter(index => !isShort(index))
  let left = rows
  const give = (indices: readonly number[], most: number) => {
    let rest = Math.min(most, left)
    for (const index of indices) {
      const stream = streams[index] as Stream
      const more = Math.min(stream.stretch - (shares[index] as number), rest)
      shares[index] = (shares[index] as number) + more
      rest -= more
      left -= more
    }
  }
  give(short, long.length > 0 ? Math.ceil(rows * SHORT_SHARE) : rows)
  // One long prompt of each tenant at a time, equal parts.
  const heads = firstOfEachTenant(long, streams)
  for (const [done, index] of heads.entries()) give([index], Math.ceil(left / (heads.length - done)))
  give(long, left)
  give(short, left)
  return shares
}

/** Higher priority first; then the first of every tenant, the second of every tenant, ...; by arrival within. */
function inTurns(streams: readonly Stream[]): number[] {
  const turn = new Map<string, number>()
  const keyed = streams.map((stream, index) => {
    const nth = turn.get(stream.tenant) ?? 0
    turn.set(stream.tenant, nth + 1)
    return { index, nth, stream }
  })
  keyed.sort((a, b) => b.stream.priority - a.stream.priority || a.nth - b.nth || a.index - b.index)
  return keyed.map(entry => entry.index)
}

function firstOfEachTenant(indices: readonly number[], streams: readonly Stream[]): number[] {
  const seen = new Set<string>()
  return indices.filter(index => {
    const { tenant } = streams[index] as Stream
    if (seen.has(tenant)) return false
    seen.add(tenant)
    return true
  })
}

/**
 * Fewer tokens than this are computed again rather than waited for, unless they are the end of a long common prefix:
 * its other followers would each compute them too.
 */
const WORTH_WAITING = 32
const LONG_PREFIX = 256

/**
 * A stream that is just now computing a prefix which `stream` needs, longer than what the cache has: better to wait
 * for it and attach (32 agents with one system prompt: one prefill). null when there is none.
 *
 * @param cached how much of the stream's prompt the cache has already.
 * @param lengths memo of common prefix lengths with each leader.
 */
export function leaderFor(
  stream: Stream,
  running: readonly Stream[],
  cached: number,
  limit: number,
  lengths: Map<Stream, number>
): Stream | null {
  for (const leader of running) {
    if (leader.salt !== stream.salt || !leader.cachePrompt || leader.computed >= leader.promptLength) continue
    // Its client takes no data: who knows when it goes on.
    if (leader.paused) continue
    let common = lengths.get(leader)
    if (common === undefined) {
      common = commonPrefix(leader.tokens, stream.tokens, Math.min(limit, leader.promptLength))
      lengths.set(leader, common)
    }
    // Where state exists at boundaries only, the leader leaves nothing behind in between.
    const reach = common
    if (leader.boundaries) common = leader.boundaries.findLast(boundary => boundary <= reach) ?? 0
    const missing = common - cached
    if (common > leader.computed && missing >= (common >= LONG_PREFIX ? 1 : WORTH_WAITING)) return leader
  }
  return null
}
