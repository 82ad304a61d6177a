import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { fetchText } from './client.js'
import type { ProbeSamples, ProbeTarget } from './probe.js'

const { targets, everyMs } = workerData as { targets: ProbeTarget[]; everyMs: number }
const samples: ProbeSamples = { latencies: targets.map(() => []), errors: targets.map(() => 0) }
let stopped = false
parentPort!.once('message', () => {
  stopped = true
})

// The first request of each opens the connection; it is not counted.
for (const target of targets) await fetchText(target, target.path).catch(() => {})
for (let i = 0; !stopped; i = (i + 1) % targets.length) {
  const target = targets[i]!
  try {
    const { status, ms } = await fetchText(target, target.path, { timeoutMs: 10_000 })
    if (status === 200) samples.latencies[i]!.push(ms)
    else samples.errors[i]!++
  } catch {
    samples.errors[i]!++
  }
  await sleep(everyMs)
}
parentPort!.postMessage(samples)
