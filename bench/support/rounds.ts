import type { Report } from './report.js'
import { type Command, type Server, withServer } from './server.js'
import { medianRatio } from './statistics.js'

/** Per variant, one value per round, in order. */
export type Samples<T> = Map<string, T[]>

/**
 * Runs all variants side by side, A B A B ..., each time on a fresh server, so that what is slow about the machine for
 * a while falls on all of them and nothing is left of an earlier run. `measure` gets a key that is different in each
 * round and has to be part of its prompts: a cache on disk must not know them. Within a round all variants get the same
 * words, so that they do the same work.
 */
export async function rounds<T>(
  report: Report,
  commands: Command[],
  count: number,
  measure: (server: Server, key: string, command: Command) => Promise<T>
): Promise<Samples<T>> {
  const samples: Samples<T> = new Map(commands.map(command => [command.name, []]))
  for (let round = 1; round <= count; round++) {
    for (const command of commands) {
      const startedAt = performance.now()
      const value = await withServer(command, server => measure(server, `round ${round}`, command))
      samples.get(command.name)!.push(value)
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
      report.progress(`round ${round} of ${count}, ${command.name}: ${seconds} s`)
    }
  }
  return samples
}

/** One figure of each sample. */
export function column<T>(samples: Samples<T>, variant: string, figure: (sample: T) => number): number[] {
  return (samples.get(variant) ?? []).map(figure)
}

/** The median over the rounds of this variant's figure divided by `base`'s figure in the same round. */
export function against<T>(
  samples: Samples<T>,
  variant: string,
  base: string,
  figure: (sample: T) => number
): number {
  return medianRatio(column(samples, variant, figure), column(samples, base, figure))
}
