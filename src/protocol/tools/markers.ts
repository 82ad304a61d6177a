/** Finding marker texts in a stream. */

/** The first marker in the text (the longest at that place); null when there is none. */
export function findMarker(text: string, markers: readonly string[]): { at: number; marker: string } | null {
  let found: { at: number; marker: string } | null = null
  for (const marker of markers) {
    const at = text.indexOf(marker)
    if (at < 0) continue
    if (!found || at < found.at || (at === found.at && marker.length > found.marker.length))
      found = { at, marker }
  }
  return found
}

/** How many characters at the end of the text may be the beginning of a marker. */
export function heldBack(text: string, markers: readonly string[]): number {
  const longest = Math.max(0, ...markers.map(marker => marker.length - 1))
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    const tail = text.slice(text.length - length)
    if (markers.some(marker => marker.length > length && marker.startsWith(tail))) return length
  }
  return 0
}
