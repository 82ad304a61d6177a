import type { DownloadProgress } from '../models/download.js'

/** One line that is rewritten on a terminal; elsewhere a plain line at the start and at every quarter. */
export class ProgressLine {
  readonly #stream: NodeJS.WriteStream
  #shown = ''
  #quarter = 0

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
  }

  /** @param fraction 0..1 */
  show(what: string, fraction: number, detail = ''): void {
    const percent = Math.floor(Math.min(1, Math.max(0, fraction)) * 100)
    if (this.#stream.isTTY) {
      this.#rewrite(`${what} ${bar(percent)} ${percent} %${detail && `, ${detail}`}`)
    } else if (what !== this.#shown || percent >= this.#quarter + 25) {
      this.#quarter = Math.floor(percent / 25) * 25
      this.#shown = what
      this.#stream.write(`${what}: ${percent} %${detail && `, ${detail}`}\n`)
    }
  }

  /** Takes the line away, so that what comes next stands alone. */
  clear(): void {
    if (this.#stream.isTTY && this.#shown !== '') this.#stream.write('\r\u001b[K')
    this.#shown = ''
    this.#quarter = 0
  }

  #rewrite(text: string): void {
    const line = text.slice(0, Math.max(20, (this.#stream.columns || 80) - 1))
    if (line === this.#shown) return
    this.#shown = line
    this.#stream.write(`\r\u001b[K${line}`)
  }
}

/** `3.2 of 4.9 GB, 40 s left` */
export function downloadDetail({ downloadedBytes, totalBytes, secondsLeft }: DownloadProgress): string {
  const unit = totalBytes >= 1e9 ? { bytes: 1e9, name: 'GB' } : { bytes: 1e6, name: 'MB' }
  const amount = `${(downloadedBytes / unit.bytes).toFixed(1)} of ${(totalBytes / unit.bytes).toFixed(1)} ${unit.name}`
  if (!Number.isFinite(secondsLeft) || secondsLeft <= 0) return amount
  const left = secondsLeft < 90 ? `${Math.ceil(secondsLeft)} s` : `${Math.ceil(secondsLeft / 60)} min`
  return `${amount}, ${left} left`
}

function bar(percent: number): string {
  const full = Math.round(percent / 5)
  return `[${'#'.repeat(full)}${'.'.repeat(20 - full)}]`
}
