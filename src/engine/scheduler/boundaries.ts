/** Beyond the first, anchors are boundaries only this far apart: each ends a chunk, and takes a sequence id. */
const SPACING = 64
/** Of a prompt's anchors the first, and so many of the last. */
const MOST_LAST = 3

/**
 * Where the computation of a prompt must stop, because the model's state is captured there: at anchors, and before the
 * last token, whose logits are needed by whoever asks the same again (a repetition, another choice).
 *
 * @param anchors prompt lengths worth keeping, ascending. The first is the end of system and tools.
 * @param floor the nearest position at or before this one at which a chunk may end.
 * @returns positions in ascending order, all of them below `promptLength`.
 */
export function boundariesOf(
  promptLength: number,
  anchors: readonly number[],
  floor: (position: number) => number
): number[] {
  const end = promptLength - 1
  const [first, ...more] = anchors.filter(anchor => anchor < end)
  const boundaries = [end]
  for (const anchor of more.reverse()) {
    if (boundaries.length > MOST_LAST) break
    if ((boundaries[0] as number) - anchor >= SPACING) boundaries.unshift(anchor)
  }
  if (first !== undefined) boundaries.unshift(first)
  return [...new Set(boundaries.map(floor))].filter(boundary => boundary > 0)
}
