/** A server process with one engine loaded and one loading, to be killed by a test. Prints their process ids. */

import { systemClock } from '../../src/models/clock.js'
import { EngineClient } from '../../src/models/engine-client.js'
import { defaultBounds } from '../../src/models/supervisor-options.js'
import { fakeEngine, silent } from './helpers.js'
import { engineConfig } from './messages.js'

const options = { entry: fakeEngine, logger: silent, clock: systemClock, bounds: defaultBounds }
const loaded = new EngineClient({ ...options, config: engineConfig() })
await loaded.ready
const loading = await new Promise<EngineClient>(resolve => {
  const config = engineConfig({ load: 'hang' })
  const client = new EngineClient({ ...options, config, onProgress: () => resolve(client) })
})
process.stdout.write(`${JSON.stringify([loaded.pid, loading.pid])}\n`)
