/** A server process with two engines, to be killed by a test. Prints the engines' process ids. */
import { EngineClient } from '../../src/models/engine-client.js'
import { fakeEngine, silent } from './helpers.js'
import { engineConfig } from './messages.js'

const engines = [engineConfig(), engineConfig({ load: 'hang' })].map(
  config => new EngineClient({ entry: fakeEngine, config, logger: silent, exitMs: 1000 })
)
await engines[0]?.ready
process.stdout.write(`${JSON.stringify(engines.map(engine => engine.pid))}\n`)
