import type { Backend } from './backend.js'
import type { Engine } from './engine.js'
import type { EngineCalls, EngineMethod, FromEngine, ToEngine } from './messages.js'

type Handlers = {
  [M in EngineMethod]: (params: EngineCalls[M]['params']) => Promise<EngineCalls[M]['result']>
}

function handlersFor(engine: Engine, backend: Backend): Handlers {
  return {
    stats: async () => engine.stats(),
    tokenize: async ({ text, addSpecial, parseSpecial }) =>
      Array.from(await backend.tokenize(text, { addSpecial, parseSpecial })),
    detokenize: async ({ tokens, special }) =>
      Buffer.concat(tokens.map(token => backend.piece(token, special))).toString('utf8'),
    pieces: async ({ tokens }) => tokens.map(token => Array.from(backend.piece(token, true))),
    check: () => engine.betweenSteps(() => engine.check()),
    clearCache: () => engine.betweenSteps(() => ({ freedCells: engine.clearCache() })),
    drain: ({ timeoutMs }) => engine.drain(timeoutMs),
    shutdown: async () => {
      engine.stop()
      return null
    }
  }
}

/** Answers a question from the server process. */
export async function handleCall(
  engine: Engine,
  backend: Backend,
  message: ToEngine & { type: 'call' }
): Promise<FromEngine> {
  const handler = handlersFor(engine, backend)[message.method] as (params: unknown) => Promise<unknown>
  if (!handler) throw new Error(`unknown method ${message.method}`)
  return { type: 'reply', call: message.call, ok: true, result: await handler(message.params) }
}
