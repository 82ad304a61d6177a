/** The examples against the server as a user starts it. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { packageRoot } from '../../src/root.js'
import { realServer } from '../support/real-server.js'

/** What each must print; the model's own words are not judged. */
const examples: Record<string, RegExp> = {
  'openai-stream.mjs': /\n\d+ tokens in \(\d+ cached\), \d+ out\n$/,
  'openai-tools.mjs': /^called: get_weather\((Paris|Rome)\)\nanswer: /,
  'openai-json.mjs': /^.*, \d+, (Oslo|Bergen|elsewhere)\n$/s,
  'openai-responses.mjs': /^first: .*\nsecond: .*\n$/s,
  'openai-embeddings.mjs': /^When can I travel to the sea\?\nThe train to the coast .* \(0\.\d\d\)\n$/,
  'vercel-ai.mjs': /\n\d+ tokens\n\d+ \+ \d+ = \d+\n$/,
  'langchain.mjs': /\na vector of 384 numbers\n$/,
  'anthropic.mjs': /\n(end_turn|max_tokens), \d+ tokens\n$/,
  'curl.sh':
    /"chat\.completion".*\ndata: .*data: \[DONE\].*"text_completion".*\{"tokens":\[.*"embedding".*"object":"list"/s
}

const { url } = await realServer(t, [], { OCTAVO_API_KEY: 'a-key' })

for (const [file, output] of Object.entries(examples)) {
  t.test(file, async t => {
    const program = file.endsWith('.sh') ? 'sh' : process.execPath
    const { stdout } = await promisify(execFile)(program, [path.join(packageRoot(), 'examples', file)], {
      env: { PATH: process.env.PATH, OCTAVO_URL: url, OCTAVO_API_KEY: 'a-key' },
      timeout: 60_000
    })
    t.match(stdout, output)
  })
}

t.test('every example is run here, and is in the list', async t => {
  const { readdirSync, readFileSync } = await import('node:fs')
  const folder = path.join(packageRoot(), 'examples')
  const files = readdirSync(folder).filter(file => file !== 'README.md')
  t.strictSame(files.sort(), Object.keys(examples).sort())
  const readme = readFileSync(path.join(folder, 'README.md'), 'utf8')
  for (const file of files) t.ok(readme.includes(`\`${file}\``), file)
})
