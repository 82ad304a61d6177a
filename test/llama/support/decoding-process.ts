import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { smallModel } from './backends.js'

const MOST_MS = 60_000

/**
 * Runs a program in a process of its own, where `backend` has the small model, lanes, and 512 rows in its batch.
 * @returns its exit code; null: it was killed, by a crash or for taking too long.
 */
export async function decodingProcess(body: string, env: NodeJS.ProcessEnv = {}): Promise<number | null> {
  const program = `
    import { loadBackend } from '${new URL('../../../src/llama/backend.js', import.meta.url)}'
    import { plainOptions } from '${new URL('./backends.js', import.meta.url)}'
    const backend = await loadBackend({ ...plainOptions, model: '${smallModel}', contextCells: 4096, lanes: 4 })
    for (let at = 0; at < 512; at++) backend.batch.add(100 + at, at, 0, at === 511)
    ${body}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: 'ignore',
    env: { ...process.env, ...env }
  })
  const patience = setTimeout(() => child.kill('SIGKILL'), MOST_MS)
  const [code] = (await once(child, 'exit')) as [number | null]
  clearTimeout(patience)
  return code
}
