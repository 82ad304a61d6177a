/** Work in parts, for one worker that does one part at a time. */
export interface Job {
  readonly id: number
  /** Does the next part. @returns whether that was the last one */
  step(): Promise<boolean>
}

/**
 * Takes turns between jobs part by part, so that a single text does not wait for somebody's thousand. A job that throws
 * is over; `onError` hears of it.
 */
export class JobQueue {
  #jobs: Job[] = []
  #current: Job | undefined
  #running = false
  readonly #cancelled = new Set<number>()

  constructor(private readonly onError: (job: Job, error: unknown) => void) {}

  add(job: Job): void {
    this.#jobs.push(job)
    if (!this.#running) void this.#run()
  }

  /** Parts not yet begun are not done. */
  cancel(id: number): void {
    this.#jobs = this.#jobs.filter(job => job.id !== id)
    if (this.#current?.id === id) this.#cancelled.add(id)
  }

  async #run(): Promise<void> {
    this.#running = true
    for (let job = this.#jobs.shift(); job; job = this.#jobs.shift()) {
      this.#current = job
      const done = await job.step().catch(error => {
        this.onError(job as Job, error)
        return true
      })
      this.#current = undefined
      if (!this.#cancelled.delete(job.id) && !done) this.#jobs.push(job)
    }
    this.#running = false
  }
}
