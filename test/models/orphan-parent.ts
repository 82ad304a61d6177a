/** A server process with one engine loaded and one loading, to be killed by a test. Prints their process ids. */
import { EngineClient } from '../../src/models/engine-client.js'
import { fakeEngine, silent } from './helpers.js'
import { engineConfig } from './messages.js'

const options = { entry: fakeEngine, logger: silent, exitMs: 1000 }
const loaded = new EngineClient({ ...options, config: engineConfig() })
await loaded.ready
const loading = await new Promise<EngineClient>(resolve => {
  const config = engineConfig({ load: 'hang' })
  const client = new EngineClient({ ...options, config, onProgress: () => resolve(client) })
})
process.stdout.write(`${JSON.stringify([loaded.pid, loading.pid])}\n`)
