import type { HostedModel } from './hosted-model.js'
import { ModelAlias } from './model-alias.js'

interface Alias {
  model: HostedModel
  /** What callers get to see: it follows when the name is moved. */
  seen: ModelAlias
}

/** Which model a name means. Ids stay, other names can be moved; `*` answers to any name. */
export class Names {
  readonly #ids = new Map<string, HostedModel>()
  readonly #aliases = new Map<string, Alias>()
  #standard: HostedModel
  readonly #standardSeen = new ModelAlias(() => this.#standard)

  /**
   * @param standard id or alias of the model that answers where none is named; the first by default
   * @throws Error when there is no model, two share a name, or the default is not among them
   */
  constructor(
    models: ReadonlyArray<{ model: HostedModel; aliases: readonly string[] }>,
    standard: string | undefined
  ) {
    for (const { model } of models) {
      if (this.#ids.has(model.id)) throw new Error(`two models answer to the name ${model.id}`)
      this.#ids.set(model.id, model)
    }
    for (const { model, aliases } of models) {
      for (const name of aliases) {
        if (name === model.id) continue
        if (this.get(name) !== undefined) throw new Error(`two models answer to the name ${name}`)
        this.#set(name, model)
      }
    }
    const found = standard === undefined ? models[0]?.model : this.get(standard)
    if (found === undefined) throw new Error(`default model not found: ${standard ?? 'there is no model'}`)
    this.#standard = found
  }

  get standard(): HostedModel {
    return this.#standard
  }

  /** The model itself, by its id or by a name that means it now. */
  get(name: string): HostedModel | undefined {
    return this.#ids.get(name) ?? this.#aliases.get(name)?.model
  }

  /** As a client's `model` is read. */
  find(name: string | undefined): HostedModel | ModelAlias | undefined {
    if (name === undefined) return this.#standardSeen
    const named = this.#ids.get(name) ?? this.#aliases.get(name)?.seen
    return named ?? (name === 'default' ? this.#standardSeen : this.#aliases.get('*')?.seen)
  }

  /** Whether the name can be given to any model: it is nobody's own. */
  isMovable(name: string): boolean {
    return !this.#ids.has(name)
  }

  /** From now on these names, and the default if `from` had it, mean `to`. */
  move(names: readonly string[], from: HostedModel, to: HostedModel): void {
    for (const name of names) this.#set(name, to)
    if (this.#standard === from) this.#standard = to
  }

  #set(name: string, model: HostedModel): void {
    const known = this.#aliases.get(name)
    if (known === undefined) {
      const entry: Alias = { model, seen: new ModelAlias(() => entry.model) }
      this.#aliases.set(name, entry)
    } else {
      const before = known.model
      known.model = model
      before.aliases = before.aliases.filter(other => other !== name)
    }
    if (!model.aliases.includes(name)) model.aliases = [...model.aliases, name]
  }
}
