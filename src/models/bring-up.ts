import type { GenerationRequest, LoadFailure, RequestEvent } from '../engine/messages.js'
import { plainRequest } from '../engine/plain-request.js'
import type { Clock } from './clock.js'
import type { EngineClient, Ready } from './engine-client.js'
import { describeExit } from './engine-process.js'
import { LoadFailedError } from './failures.js'

/** Calls `onStall` once when nothing has touched it for `ms`. */
export class StallWatch {
  readonly #clock: Clock
  readonly #ms: number
  readonly #onStall: () => void
  #cancel: () => void
  stalled = false

  constructor(clock: Clock, ms: number, onStall: () => void) {
    this.#clock = clock
    this.#ms = ms
    this.#onStall = onStall
    this.#cancel = this.#arm()
  }

  touch(): void {
    if (this.stalled) return
    this.#cancel()
    this.#cancel = this.#arm()
  }

  stop(): void {
    this.#cancel()
  }

  #arm(): () => void {
    return this.#clock.after(this.#ms, () => {
      this.stalled = true
      this.#onStall()
    })
  }
}

/**
 * Waits until a freshly started engine has loaded its model and generated one token: a call that returned proves
 * little, a token proves weights, memory and device. When this rejects the process has ended.
 * @param watch kills the engine when it stalls; touched by the caller on each sign of progress.
 * @param onVerified whether the loaded model generated its token, and the milliseconds that took
 * @throws LoadFailedError
 */
export async function bringUp(
  client: EngineClient,
  watch: StallWatch,
  onVerified: (ok: boolean, ms: number) => void = () => {}
): Promise<Ready> {
  try {
    const ready = await client.ready
    watch.touch()
    const began = performance.now()
    try {
      await generateOneToken(client)
    } catch (error) {
      onVerified(false, performance.now() - began)
      throw error
    }
    onVerified(true, performance.now() - began)
    return ready
  } catch (error) {
    client.kill()
    const exit = await client.ended
    const failure = watch.stalled ? stalled : describe(error)
    if (failure.code !== 'engine_crashed') throw new LoadFailedError(failure)
    throw new LoadFailedError({ ...failure, message: `the engine process ${describeExit(exit)}` })
  } finally {
    watch.stop()
  }
}

const stalled: LoadFailure = {
  code: 'load_stalled',
  message: 'the engine process gave no sign of life while it loaded the model, and was ended'
}

function describe(error: unknown): LoadFailure {
  if (error instanceof LoadFailedError) return error.failure
  return { code: 'engine_error', message: error instanceof Error ? error.message : String(error) }
}

/** Any token will do, it is the computation that is tried. Nothing of it stays in the cache. */
const probe: GenerationRequest = {
  ...plainRequest,
  prompt: [{ type: 'tokens', tokens: [0] }],
  ignoreEndOfText: true
}

function generateOneToken(client: EngineClient): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (code: string, why: string) =>
      reject(new LoadFailedError({ code, message: `the loaded model generated no token: ${why}` }))
    client.submit(probe, (event: RequestEvent) => {
      if (event.type === 'verdict' && event.verdict.kind !== 'admitted') {
        fail(
          'verification_failed',
          event.verdict.kind === 'invalid' ? event.verdict.message : event.verdict.kind
        )
      } else if (event.type === 'failed') {
        fail(event.code === 'engine_crashed' ? event.code : 'verification_failed', event.message)
      } else if (event.type === 'end') {
        if (event.usage.completionTokens > 0) resolve()
        else fail('verification_failed', 'the answer was empty')
      }
    })
  })
}
