/** In the vocabulary process: vocabularies that are loaded, and what can be told with them. */
import { biasRefusal, promptRefusal } from '../engine/admission.js'
import { ConstraintError } from '../engine/constraint/errors.js'
import { type ConstraintService, createConstraintService } from '../engine/constraint/service.js'
import { drawable } from '../engine/drawable.js'
import type { Constraint } from '../engine/messages.js'
import { PromptTokenizer } from '../engine/prompt.js'
import { type LoadedVocabulary, loadVocabulary } from '../llama/vocabulary.js'
import { fileSignature } from '../models/file-signature.js'
import type { StaticRefusal, VocabularyCalls, VocabularyMethod } from './messages.js'

/** A vocabulary of 150,000 tokens takes some 50 MB. */
const mostOpen = 4

export class OpenVocabulary {
  readonly #loaded: LoadedVocabulary
  #tokenizer: Promise<PromptTokenizer> | null = null
  #constraints: ConstraintService | null = null

  constructor(loaded: LoadedVocabulary) {
    this.#loaded = loaded
  }

  readonly calls: { [M in VocabularyMethod]: (params: never) => Promise<VocabularyCalls[M]['result']> } = {
    open: async () => this.#loaded.info,
    tokenize: async ({ text, addSpecial, parseSpecial }: VocabularyCalls['tokenize']['params']) =>
      Array.from(await this.#loaded.tokenize(text, { addSpecial, parseSpecial })),
    detokenize: async ({ tokens, special }: VocabularyCalls['detokenize']['params']) =>
      Buffer.concat(tokens.map(token => this.#loaded.piece(token, special))).toString('utf8'),
    pieces: async ({ tokens }: VocabularyCalls['pieces']['params']) =>
      tokens.map(token => Array.from(this.#loaded.piece(token, true))),
    examine: (params: VocabularyCalls['examine']['params']) => this.#examine(params)
  }

  async dispose(): Promise<void> {
    await this.#constraints?.dispose()
    this.#loaded.dispose()
  }

  /** In the order in which the engine looks. */
  async #examine({ request, limit }: VocabularyCalls['examine']['params']): Promise<StaticRefusal | null> {
    const { vocabularySize } = this.#loaded.info
    const bias = biasRefusal(request.sampling, vocabularySize)
    if (bias !== null) return bias
    this.#tokenizer ??= PromptTokenizer.create(this.#loaded)
    const tokenizer = await this.#tokenizer
    const [{ tokens }, constraint] = await Promise.all([
      tokenizer.tokenize(request.prompt),
      request.constraint === null ? null : this.#compile(request.constraint)
    ])
    return constraint ?? promptRefusal(tokens, vocabularySize, limit)
  }

  async #compile(constraint: Constraint): Promise<StaticRefusal | null> {
    this.#constraints ??= createConstraintService({ threads: 1, vocabulary: drawable(this.#loaded) })
    try {
      await this.#constraints.compile(constraint)
      return null
    } catch (error) {
      if (!(error instanceof ConstraintError)) throw error
      return { kind: 'invalid', param: error.param, message: error.message }
    }
  }
}

interface Entry {
  vocabulary: Promise<OpenVocabulary>
  users: number
}

/** Vocabularies by file, the least recently used first. */
export class Vocabularies {
  readonly #entries = new Map<string, Entry>()

  /** @throws BackendError when the file holds no vocabulary, and what `work` throws */
  async use<T>(file: string, work: (vocabulary: OpenVocabulary) => Promise<T>): Promise<T> {
    const key = `${file}:${await fileSignature(file)}`
    const entry = this.#entries.get(key) ?? { vocabulary: open(file), users: 0 }
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    entry.users++
    try {
      return await work(await entry.vocabulary)
    } catch (error) {
      entry.vocabulary.catch(() => this.#entries.delete(key))
      throw error
    } finally {
      entry.users--
      this.#trim()
    }
  }

  #trim(): void {
    for (const [key, { vocabulary, users }] of this.#entries) {
      if (this.#entries.size <= mostOpen) return
      if (users > 0) continue
      this.#entries.delete(key)
      vocabulary.then(
        opened => opened.dispose(),
        () => {}
      )
    }
  }
}

async function open(file: string): Promise<OpenVocabulary> {
  return new OpenVocabulary(await loadVocabulary(file))
}
