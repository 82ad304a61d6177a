import type { Backend } from '../backend.js'
import type { SequenceIds } from './sequence-ids.js'

/**
 * Cells that nobody needs but that must not be used again yet. Attention adds up in the order of cells; llama.cpp fills
 * the lowest free ones first. While freed cells stay taken, new ones always lie behind a stream's older ones, and its
 * numbers do not depend on who came and went (docs/design.md, "What the same text means").
 */
export class Graveyard {
  private sequence = -1
  private buried = 0

  constructor(
    private readonly backend: Backend,
    private readonly ids: SequenceIds
  ) {}

  get cells(): number {
    return this.buried
  }

  /** The sequence id that keeps them, -1 for none. */
  get id(): number {
    return this.sequence
  }

  /** Takes over positions [from, to), which belong to this sequence alone. False when no id is left. */
  bury(sequence: number, from: number, to: number): boolean {
    if (to <= from) return true
    if (this.sequence === -1) this.sequence = this.ids.take() ?? -1
    if (this.sequence === -1) return false
    this.backend.copyRange(sequence, this.sequence, from, to)
    this.buried += to - from
    return true
  }

  /** Frees them all. */
  clear(): void {
    if (this.sequence === -1) return
    this.backend.removeRange(this.sequence, 0, -1)
    this.ids.give(this.sequence)
    this.sequence = -1
    this.buried = 0
  }
}
