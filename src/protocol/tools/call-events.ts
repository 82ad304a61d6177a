/** Numbers the calls of an answer and makes their ids. */
import { randomInt } from 'node:crypto'
import type { AnswerEvent } from './events.js'

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** @param length of an id that a template insists on (Mistral: 9); null: `call_` and 24 characters. */
export function newCallId(length: number | null): string {
  const random = Array.from({ length: length ?? 24 }, () => LETTERS[randomInt(LETTERS.length)]).join('')
  return length === null ? `call_${random}` : random
}

export class CallEvents {
  private index = -1
  private isOpen = false
  private wrote = false

  constructor(
    private readonly out: AnswerEvent[],
    private readonly idLength: number | null
  ) {}

  get count(): number {
    return this.index + 1
  }

  begin(name: string): void {
    this.end()
    this.index++
    this.isOpen = true
    this.wrote = false
    this.out.push({ type: 'call', index: this.index, id: newCallId(this.idLength), name })
  }

  arguments(text: string): void {
    if (!this.isOpen || text === '') return
    this.wrote = true
    this.out.push({ type: 'arguments', index: this.index, text })
  }

  end(): void {
    if (!this.isOpen) return
    if (!this.wrote) this.arguments('{}')
    this.isOpen = false
    this.out.push({ type: 'callEnd', index: this.index })
  }
}
