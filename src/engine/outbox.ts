import type { FromEngine, RequestEvent } from './messages.js'

/** Collects events and sends them together: one message per step, or per turn of the event loop between steps. */
export class Outbox {
  private events: RequestEvent[] = []
  private scheduled = false

  constructor(private readonly send: (message: FromEngine) => void) {}

  add(event: RequestEvent): void {
    this.events.push(event)
    if (this.scheduled) return
    this.scheduled = true
    setImmediate(() => this.flush())
  }

  flush(): void {
    this.scheduled = false
    if (this.events.length === 0) return
    const { events } = this
    this.events = []
    this.send({ type: 'events', events })
  }
}
