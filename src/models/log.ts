import type { BaseLogger } from 'pino'

/** What this folder needs of a logger; pino's and Fastify's both have it. */
export type Logger = Pick<BaseLogger, 'debug' | 'info' | 'warn' | 'error'>

const longestLine = 4096

/**
 * Cuts a stream of text into lines and keeps the last ones, to explain how a process ended. A line that is never ended
 * is passed on in parts, so nothing grows.
 */
export class LineTail {
  readonly #keep: number
  readonly #onLine: (line: string) => void
  readonly #lines: string[] = []
  #rest = ''

  constructor(keep: number, onLine: (line: string) => void) {
    this.#keep = keep
    this.#onLine = onLine
  }

  /** The last lines, oldest first, with an unfinished one at the end. */
  get lines(): string[] {
    return this.#rest === '' ? [...this.#lines] : [...this.#lines, this.#rest].slice(-this.#keep)
  }

  write(text: string): void {
    const parts = (this.#rest + text).split(/\r?\n/)
    this.#rest = parts.pop() ?? ''
    for (const part of parts) this.#line(part)
    while (this.#rest.length > longestLine) {
      this.#line(this.#rest.slice(0, longestLine))
      this.#rest = this.#rest.slice(longestLine)
    }
  }

  #line(line: string): void {
    if (line.trim() === '') return
    const kept = line.slice(0, longestLine)
    this.#lines.push(kept)
    if (this.#lines.length > this.#keep) this.#lines.shift()
    this.#onLine(kept)
  }
}
