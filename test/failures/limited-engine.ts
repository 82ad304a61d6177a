/**
 * An engine that may have so many bytes more than it has when it begins (OCTAVO_TEST_MORE_MEMORY): as on a machine, or in
 * a container, that has no more. Linux only: `prlimit` of util-linux sets the limit of a running process.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const more = Number(process.env.OCTAVO_TEST_MORE_MEMORY)
if (more > 0) {
  const [pages = 0] = readFileSync('/proc/self/statm', 'utf8').split(' ').map(Number)
  execFileSync('prlimit', ['--pid', String(process.pid), `--as=${pages * 4096 + more}`])
}
await import('../../src/engine/main.js')
