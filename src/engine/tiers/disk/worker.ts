import { parentPort } from 'node:worker_threads'
import { DiskCore } from './core.js'
import type { FromWorker, ToWorker } from './protocol.js'

const port = parentPort!
const core = new DiskCore((message: FromWorker) => port.postMessage(message))
port.on('message', (message: ToWorker) => core.handle(message))
