/**
 * The vocabulary process: says of models that are not loaded what their vocabularies tell. One for all models of a
 * server, forked when it is needed; ends when the channel to its parent closes. llama.cpp ends its process on some
 * damaged files: here that costs an answer, which the engine then gives after the load.
 */
import type { FromVocabulary, ToVocabulary } from './messages.js'
import { Vocabularies } from './open.js'

const vocabularies = new Vocabularies()

function send(message: FromVocabulary): void {
  if (process.connected) process.send?.(message)
}

// Ctrl-C in a terminal reaches the whole group: the server decides when this ends.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.once('disconnect', () => process.exit(0))
process.on('message', async ({ call, file, method, params }: ToVocabulary) => {
  try {
    const result = await vocabularies.use<unknown>(file, ({ calls }) => calls[method](params as never))
    send({ call, ok: true, result })
  } catch (error) {
    send({ call, ok: false, message: error instanceof Error ? error.message : String(error) })
  }
})
if (!process.connected) process.exit(0)
