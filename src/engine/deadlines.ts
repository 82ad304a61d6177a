import type { ActiveRequest } from './active-request.js'
import type { FailureCode } from './messages.js'

export interface Expiry {
  request: ActiveRequest
  code: FailureCode
  message: string
}

/** How often deadlines are looked at while no step runs, milliseconds. */
const LOOK_EVERY = 25

/** Watches the requests that must start, answer or end in time. */
export class Deadlines {
  private readonly watched = new Set<ActiveRequest>()

  constructor(private readonly now: () => number) {}

  watch(request: ActiveRequest): void {
    const { queue, firstToken, total } = request.params.deadlines
    if (queue !== null || firstToken !== null || total !== null) this.watched.add(request)
  }

  forget(request: ActiveRequest): void {
    this.watched.delete(request)
  }

  expired(): Expiry[] {
    if (this.watched.size === 0) return []
    const late: Expiry[] = []
    for (const request of this.watched) {
      const waited = this.now() - request.arrived
      const { queue, firstToken, total } = request.params.deadlines
      const { startedAt, firstTokenAt } = request.first
      if (total !== null && waited > total) late.push(expiry(request, 'total_timeout', 'finished', total))
      else if (firstToken !== null && firstTokenAt === null && waited > firstToken) {
        late.push(expiry(request, 'first_token_timeout', 'answered', firstToken))
      } else if (queue !== null && startedAt === null && waited > queue) {
        late.push(expiry(request, 'queue_timeout', 'started', queue))
      }
    }
    return late
  }

  /** Calls `wake` soon if there is anything to watch. */
  wakeAfter(wake: () => void): void {
    if (this.watched.size > 0) setTimeout(wake, LOOK_EVERY)
  }
}

function expiry(request: ActiveRequest, code: FailureCode, verb: string, ms: number): Expiry {
  return { request, code, message: `the request was not ${verb} within ${ms} ms` }
}
