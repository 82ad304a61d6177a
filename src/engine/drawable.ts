import type { Backend } from './backend.js'
import type { Vocabulary } from './constraint/vocabulary.js'

type Words = Pick<Backend, 'piece' | 'isEndOfGeneration'> & {
  readonly info: Pick<Backend['info'], 'vocabularySize'>
}

/** Tokens that end an answer. */
export function endOfTextTokens(words: Words): number[] {
  return Array.from({ length: words.info.vocabularySize }, (_, token) => token).filter(token =>
    words.isEndOfGeneration(token)
  )
}

/** What may be drawn, as constraints are made for it. @param stopTokens `endOfTextTokens`, where they are known */
export function drawable(words: Words, stopTokens = endOfTextTokens(words)): Vocabulary {
  return {
    size: words.info.vocabularySize,
    piece: (token, special) => words.piece(token, special),
    stopTokens
  }
}
