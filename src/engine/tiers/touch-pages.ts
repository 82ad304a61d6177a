/** Adding nothing to one word per page brings the page in, and leaves alone what another thread writes there. */
export function touchPages(slab: SharedArrayBuffer): void {
  const words = new Int32Array(slab)
  for (let i = 0; i < words.length; i += 1024) Atomics.add(words, i, 0)
}
