/** Holds new requests back while a model is swapped. Those in flight do not come by here. */
export class Gate {
  #closed: { opened: Promise<void>; open(): void } | null = null

  get isClosed(): boolean {
    return this.#closed !== null
  }

  /** Whoever comes from now on waits until the returned function is called. A later call takes the place of an earlier. */
  close(): () => void {
    let open = () => {}
    const opened = new Promise<void>(resolve => {
      open = resolve
    })
    const closed = { opened, open }
    this.#closed = closed
    return () => {
      if (this.#closed === closed) this.#closed = null
      open()
    }
  }

  /** Resolves when it is open, however often it was closed meanwhile. */
  async opened(): Promise<void> {
    while (this.#closed !== null) await this.#closed.opened
  }
}
