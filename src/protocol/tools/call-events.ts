/** Numbers the calls of an answer and makes their ids. */
import { randomInt } from 'node:crypto'
import type { AnswerEvent } from './events.js'
import { JsonValueScanner } from './json-scanner.js'

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** @param length of an id that a template insists on (Mistral: 9); null: `call_` and 24 characters. */
export function newCallId(length: number | null): string {
  const random = Array.from({ length: length ?? 24 }, () => LETTERS[randomInt(LETTERS.length)]).join('')
  return length === null ? `call_${random}` : random
}

export class CallEvents {
  private index = -1
  private readonly ids = new Set<string>()
  private isOpen = false
  private wrote = false
  private scanner = new JsonValueScanner()

  constructor(
    private readonly out: AnswerEvent[],
    private readonly idLength: number | null
  ) {}

  get count(): number {
    return this.index + 1
  }

  /** @param id as the model wrote it; left out or used before: a new one */
  begin(name: string, id?: string): void {
    this.end()
    this.index++
    this.isOpen = true
    this.wrote = false
    this.scanner = new JsonValueScanner()
    const known = id === undefined || this.ids.has(id) ? newCallId(this.idLength) : id
    this.ids.add(known)
    this.out.push({ type: 'call', index: this.index, id: known, name })
  }

  arguments(text: string): void {
    if (!this.isOpen || text === '') return
    this.wrote = true
    this.scanner.scan(text, 0)
    this.out.push({ type: 'arguments', index: this.index, text })
  }

  /** The call was closed. */
  end(): void {
    if (!this.isOpen) return
    if (!this.wrote) this.arguments('{}')
    this.close(true)
  }

  /**
   * The answer ends, and the call has not been closed.
   * @param cut the model did not end it: a call without arguments has none then, rather than empty ones
   */
  breakOff(cut: boolean): void {
    if (!this.isOpen) return
    if (!this.wrote && !cut) this.arguments('{}')
    this.close(this.scanner.isDone)
  }

  private close(complete: boolean): void {
    this.isOpen = false
    this.out.push({ type: 'callEnd', index: this.index, complete })
  }
}
