import { Worker } from 'node:worker_threads'

/**
 * Touches the pages of fresh memory on a thread of its own that ends with it: a page fault costs thirty times what
 * copying into the page costs, and would hold up a step. Never rejects; the memory may be used meanwhile.
 */
export function warmSlab(slab: SharedArrayBuffer): Promise<void> {
  return new Promise(resolve => {
    const thread = new Worker(new URL('./warm-slab-thread.js', import.meta.url), { workerData: slab })
    thread.unref()
    thread.on('error', () => {})
    thread.on('exit', () => resolve())
  })
}
