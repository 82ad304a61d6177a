/** Latency of plain GET requests, taken in a thread of its own so that the load's own client does not stand in the way. */
import { Worker } from 'node:worker_threads'
import { max, percentile } from './statistics.js'

export interface ProbeTarget {
  name: string
  host: string
  port: number
  path: string
}

export interface ProbeResult {
  name: string
  count: number
  errors: number
  p50: number
  p99: number
  max: number
}

/** What the thread sends back: milliseconds of each request by target, and how many failed. */
export interface ProbeSamples {
  latencies: number[][]
  errors: number[]
}

/** Asks the targets in turn, one request each `everyMs`, until `stop` is called. */
export function startProbe(targets: ProbeTarget[], everyMs: number): { stop(): Promise<ProbeResult[]> } {
  const worker = new Worker(new URL('./probe-thread.js', import.meta.url), {
    workerData: { targets, everyMs }
  })
  const samples = new Promise<ProbeSamples>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  // Reported by whoever calls stop.
  samples.catch(() => {})
  return {
    async stop() {
      worker.postMessage('stop')
      const { latencies, errors } = await samples
      await worker.terminate()
      return targets.map(({ name }, i) => ({
        name,
        count: latencies[i]!.length,
        errors: errors[i]!,
        p50: percentile(latencies[i]!, 0.5),
        p99: percentile(latencies[i]!, 0.99),
        max: max(latencies[i]!)
      }))
    }
  }
}
