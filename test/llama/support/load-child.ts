/** Loads models in a process of its own and prints a JSON list: `{ok: true}` or `{code, message}` for each. */
import { loadBackend } from '../../../src/llama/backend.js'

const { models, options } = JSON.parse(process.argv[2]!)
const results: object[] = []
for (const model of models) {
  try {
    const backend = await loadBackend({ ...options, model })
    await backend.tokenize('some text', { addSpecial: true, parseSpecial: true })
    backend.dispose()
    results.push({ ok: true })
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    results.push({ code, message })
  }
}
process.stdout.write(JSON.stringify(results))
