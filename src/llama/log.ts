/** What happens to llama.cpp's log: dropped, or left on stderr; and kept while a model loads, to explain a failure. */
import koffi from './ffi.js'
import { LogCallback, type Pointer } from './layout.js'
import { fromC } from './libc.js'

export type LogMode = 'silent' | 'stderr'

/** `ggml_log_level`. */
const level = { debug: 1, warn: 3, error: 4, continuation: 5 }

type SetLog = (callback: Pointer, userData: Pointer) => void

export class Log {
  readonly #setLog: SetLog
  readonly #mode: LogMode

  constructor(setLog: SetLog, mode: LogMode) {
    this.#setLog = setLog
    this.#mode = mode
  }

  /** The state between loads. No callback into JavaScript: the library logs from threads of its own. */
  rest(): void {
    this.#setLog(this.#mode === 'silent' ? harmlessFunction() : null, null)
  }

  /**
   * Runs `work` and keeps the lines of warnings and errors logged meanwhile.
   * The library's calls in `work` must be asynchronous: a line from another thread waits for a turn of this one.
   */
  async capture<T>(work: (lines: string[]) => Promise<T>): Promise<T> {
    const lines: string[] = []
    let last = 0
    const callback = koffi.register((severity: number, text: string) => {
      if (severity !== level.continuation) last = severity
      if (this.#mode === 'stderr' && last !== level.debug) process.stderr.write(text)
      if (last === level.warn || last === level.error) lines.push(text)
    }, LogCallback)
    this.#setLog(callback, null)
    try {
      return await work(lines)
    } finally {
      this.rest()
      koffi.unregister(callback)
    }
  }
}

/**
 * The line that tells most about a failure, without the C function's name in front. llama.cpp logs the cause first and
 * then `failed to load model`, `error loading model: cause`.
 */
export function causeIn(lines: readonly string[]): string | undefined {
  const messages = lines
    .join('')
    .split('\n')
    .map(line => line.replace(/^\w+:\s+/, '').trim())
    .filter(Boolean)
  const cause =
    messages.find(line => /^(error loading model|failed to initialize the context):/.test(line)) ??
    messages.findLast(line => !/^(failed|exiting)/.test(line)) ??
    messages.at(-1)
  return cause?.replace(/^error loading model:\s*/, '').replace(/^failed to initialize the context:\s*/, '')
}

/**
 * The address of `labs`: as a log callback it takes its first argument from a register, touches no memory and returns.
 * llama.cpp has no switch for its log, and a null callback means stderr.
 */
function harmlessFunction(): Pointer {
  return fromC(library => library.symbol('labs', 'void'))
}
