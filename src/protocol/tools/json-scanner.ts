/** Finds the end of one JSON value in a stream of text, without building it. */

const BLANK = /[ \t\r\n]/

export class JsonValueScanner {
  isDone = false
  private depth = 0
  private inString = false
  private escaped = false
  private kind: 'none' | 'string' | 'container' | 'word' = 'none'

  /** @returns how many characters of `text`, from `from`, belong to the value (blanks before it included). */
  scan(text: string, from: number): number {
    let at = from
    while (at < text.length && !this.isDone) {
      if (!this.step(text[at]!)) break
      at++
    }
    return at - from
  }

  /** Whether a value has begun. */
  get hasBegun(): boolean {
    return this.kind !== 'none'
  }

  /** False: the character is behind the value, which is done. */
  private step(char: string): boolean {
    if (this.inString) {
      if (this.escaped) this.escaped = false
      else if (char === '\\') this.escaped = true
      else if (char === '"') {
        this.inString = false
        if (this.depth === 0) this.isDone = true
      }
      return true
    }
    switch (this.kind) {
      case 'none':
        if (BLANK.test(char)) return true
        this.kind = char === '"' ? 'string' : char === '{' || char === '[' ? 'container' : 'word'
        break
      case 'word':
        if (BLANK.test(char) || ',}]'.includes(char)) {
          this.isDone = true
          return false
        }
        return true
      default:
    }
    if (char === '"') this.inString = true
    else if (char === '{' || char === '[') this.depth++
    else if ((char === '}' || char === ']') && --this.depth === 0) this.isDone = true
    return true
  }
}
