/**
 * The constraint thread: compiles grammars and runs their matchers (a compiled grammar cannot leave its thread). Masks
 * go to the engine's thread through shared memory, so that they are made while the next decode runs.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { prepareConstraint } from './constraint.js'
import { ConstraintError } from './errors.js'
import {
  ALL_ALLOWED,
  type FromWorker,
  HEADER,
  MASKED,
  NOTHING_ALLOWED,
  type PreparedGrammar,
  STATUS,
  type ToWorker,
  VERSION,
  type WorkerOptions
} from './protocol.js'
import {
  createNativeCompiler,
  type NativeCompiler,
  type NativeGrammar,
  type NativeMatcher
} from './xgrammar.js'

interface Running {
  grammar: number
  matcher: NativeMatcher
  state: Int32Array
  version: number
}

const port = parentPort!
const { vocabulary, memoryLimit } = workerData as WorkerOptions
const pieces = Array.from({ length: vocabulary.size }, (_, token) =>
  vocabulary.bytes.slice(vocabulary.offsets[token], vocabulary.offsets[token + 1])
)
/** One per set of control tokens that count as text. */
const compilers = new Map<string, Promise<NativeCompiler>>()
const grammars = new Map<number, NativeGrammar>()
const running = new Map<number, Running>()
/** What the thread is at, for the report when the WASM instance breaks. */
let current: { grammar: number | null; matcher: number | null } = { grammar: null, matcher: null }

function compilerFor(control: string[]): Promise<NativeCompiler> {
  const known = vocabulary.control.filter(({ text }) => control.includes(text))
  const key = known.map(({ token }) => token).join()
  let compiler = compilers.get(key)
  if (!compiler) {
    const own = known.length > 0 ? [...pieces] : pieces
    for (const { token, text } of known) own[token] = new TextEncoder().encode(text)
    compiler = createNativeCompiler(own, vocabulary.stopTokens, memoryLimit)
    compilers.set(key, compiler)
  }
  return compiler
}

async function load(grammar: number, prepared: PreparedGrammar): Promise<NativeGrammar> {
  const compiler = await compilerFor(prepared.control)
  const compiled = await compiler.compile(prepared.ebnf)
  grammars.set(grammar, compiled)
  return compiled
}

async function publish(run: Running): Promise<void> {
  const mask = await run.matcher.mask()
  run.state.set(mask, HEADER)
  run.state[STATUS] = summary(mask)
  Atomics.store(run.state, VERSION, run.version)
  Atomics.notify(run.state, VERSION)
}

function summary(mask: Int32Array): number {
  const first = mask[0]
  if (first !== -1 && first !== 0) return MASKED
  // The last word has bits beyond the vocabulary.
  for (let i = 1; i < mask.length - 1; i++) if (mask[i] !== first) return MASKED
  const bits = vocabulary.size % 32
  const last = mask[mask.length - 1]! & (bits === 0 ? -1 : (1 << bits) - 1)
  if (first === 0) return last === 0 ? NOTHING_ALLOWED : MASKED
  return last === (bits === 0 ? -1 : (1 << bits) - 1) ? ALL_ALLOWED : MASKED
}

function refuse(run: Running): void {
  run.state[STATUS] = NOTHING_ALLOWED
  Atomics.store(run.state, VERSION, run.version)
  Atomics.notify(run.state, VERSION)
}

async function handle(message: ToWorker): Promise<void> {
  switch (message.type) {
    case 'compile': {
      current = { grammar: message.grammar, matcher: null }
      const prepared = prepareConstraint(message.constraint)
      await load(message.grammar, prepared)
      send({ type: 'compiled', grammar: message.grammar, prepared })
      return
    }
    case 'open': {
      current = { grammar: message.grammar, matcher: message.matcher }
      const grammar = grammars.get(message.grammar) ?? (await load(message.grammar, message.prepared!))
      const matcher = await grammar.matcher()
      const state = new Int32Array(message.state)
      const run = { grammar: message.grammar, matcher, state, version: message.tokens.length + 1 }
      running.set(message.matcher, run)
      if (message.tokens.every(token => matcher.accept(token))) await publish(run)
      else refuse(run)
      return
    }
    case 'accept':
      for (const [i, id] of message.matchers.entries()) {
        const run = running.get(id)
        if (!run) continue
        current = { grammar: run.grammar, matcher: id }
        run.version++
        if (run.matcher.accept(message.tokens[i]!)) await publish(run)
        else refuse(run)
      }
      return
    case 'close':
      running.get(message.matcher)?.matcher.dispose()
      running.delete(message.matcher)
      return
    case 'forget':
      grammars.get(message.grammar)?.dispose()
      grammars.delete(message.grammar)
  }
}

function send(message: FromWorker): void {
  port.postMessage(message)
}

let queue: Promise<void> = compilerFor([]).then(
  () => send({ type: 'ready' }),
  error => fail(error)
)

function fail(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error)
  send({ type: 'broken', ...current, message })
  port.close()
  process.exitCode = 1
}

port.on('message', (message: ToWorker) => {
  queue = queue
    .then(() => handle(message))
    .catch(error => {
      if (error instanceof ConstraintError && message.type === 'compile') {
        send({ type: 'refused', grammar: message.grammar, param: error.param, message: error.message })
      } else fail(error)
    })
})
