import t from 'tap'
import { createConstraintService } from '../../../src/engine/constraint/service.js'
import { validateFinished } from '../../../src/engine/constraint/validate.js'
import { randomSchema } from './random-schema.js'
import { readVocabulary } from './vocabulary.js'
import { randomFrom, walk } from './walk.js'

const long = process.env.OCTAVO_TEST_LONG === '1'

t.test('200 random schemas: every finished walk over the allowed tokens parses and validates', async t => {
  const vocabulary = await readVocabulary()
  const service = createConstraintService({ vocabulary })
  t.teardown(() => service.dispose())
  let finished = 0
  let tokens = 0
  for (let seed = 1; seed <= 200; seed++) {
    const random = randomFrom(seed)
    const strict = seed % 2 === 0
    const schema = randomSchema(random, strict)
    const compiled = await service.compile({ type: 'json_schema', schema, strict }).catch(error => {
      t.fail(`seed ${seed}: ${error}`, { schema })
    })
    if (!compiled) continue
    if (compiled.unenforced.length > 0) t.fail(`seed ${seed}: not enforced: ${compiled.unenforced}`)
    for (let round = 0; round < (long ? 5 : 2); round++) {
      const matcher = compiled.matcher()
      const result = await walk(matcher, vocabulary, random, { closeAfter: 10 + 20 * round })
      matcher.free()
      tokens += result.tokens.length
      if (!result.ended) continue
      finished++
      const checked = validateFinished(schema, result.text)
      if (!checked.ok) t.fail(`seed ${seed}: ${checked.message}`, { schema, text: result.text })
    }
  }
  t.ok(finished >= (long ? 950 : 380), `${finished} finished, ${tokens} tokens`)
})
