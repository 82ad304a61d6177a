import type { EventEmitter } from 'node:events'
import fp from 'fastify-plugin'
import type { ModelEvents } from '../../../models/events.js'
import { templateOf } from '../../routes/loaded-model.js'

/** The part of ajv that is used. */
interface SchemaCompiler {
  compile(schema: unknown): (data: unknown) => unknown
}

export interface RehearsalOptions {
  validators: Validators
  /** Left out: models are as they are. */
  events?: EventEmitter<ModelEvents> | undefined
}

/** Remembers the validators that ajv makes until they have been used once. */
export class Validators {
  readonly #unused: Array<(data: unknown) => unknown> = []

  /** To be given to Fastify as `ajv.onCreate`. */
  readonly watch = (ajv: SchemaCompiler): void => {
    const compile = ajv.compile.bind(ajv)
    ajv.compile = schema => {
      const validate = compile(schema)
      this.#unused.push(validate)
      return validate
    }
  }

  /** How many nobody has rehearsed. */
  get waiting(): number {
    return this.#unused.length
  }

  /** Uses the next one. Returns whether there was one. */
  rehearseOne(): boolean {
    const validate = this.#unused.shift()
    validate?.({})
    return validate !== undefined
  }
}

/**
 * What is expensive at its first use is used once before somebody waits for it: the first request after a start, whose
 * prefix comes from disk in 30 ms, spent as much on these two.
 *
 * - V8 compiles the function that validates a body when it is first called: 18 ms for that of a chat. Done when the
 *   server listens, one in each turn of the event loop, while the model is being loaded.
 * - A chat template is parsed and probed: 12 ms. Done when its model becomes ready.
 */
export default fp<RehearsalOptions>(
  async (app, { validators, events }) => {
    app.addHook('onListen', async () => {
      const next = () => {
        if (validators.rehearseOne()) setImmediate(next)
      }
      setImmediate(next)
    })

    const onState = ({ model, to }: ModelEvents['state'][0]) => {
      if (to !== 'ready' || model.info === null) return
      try {
        templateOf(model.info)
      } catch {
        // Whoever asks for it is told what is wrong with it.
      }
    }
    events?.on('state', onState)
    app.addHook('onClose', async () => {
      events?.off('state', onState)
    })
  },
  { name: 'rehearsal' }
)
