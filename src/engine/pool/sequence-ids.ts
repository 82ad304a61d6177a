/**
 * Which of the backend's sequence ids are free. Low ids are handed out first: llama.cpp walks over ids up to the
 * highest one in use.
 */
export class SequenceIds {
  private readonly free: number[] = []
  private readonly taken: Uint8Array

  constructor(readonly total: number) {
    this.taken = new Uint8Array(total)
    for (let id = total - 1; id >= 0; id--) this.free.push(id)
  }

  get used(): number {
    return this.total - this.free.length
  }

  get available(): number {
    return this.free.length
  }

  /** undefined when all are in use. */
  take(): number | undefined {
    const id = this.free.pop()
    if (id !== undefined) this.taken[id] = 1
    return id
  }

  /** @throws Error when the id is not in use: a double free is a bug that would mix two requests' cells. */
  give(id: number): void {
    if (this.taken[id] !== 1) throw new Error(`sequence id ${id} is not in use`)
    this.taken[id] = 0
    this.free.push(id)
  }

  isTaken(id: number): boolean {
    return this.taken[id] === 1
  }
}
