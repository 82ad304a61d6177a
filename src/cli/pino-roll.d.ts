/** What is used of pino-roll, which has no types of its own. */
declare module 'pino-roll' {
  import type { DestinationStream } from 'pino'

  export default function roll(options: {
    /** Without the number that is added to it. */
    file: string
    /** E.g. `50m`. */
    size?: string
    frequency?: 'daily' | 'hourly' | number
    mkdir?: boolean
    sync?: boolean
    limit?: { count: number; removeOtherLogFiles?: boolean }
  }): Promise<DestinationStream & { end(): void; on(event: 'error', listener: (error: Error) => void): void }>
}
