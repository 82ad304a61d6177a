import fc from 'fast-check'
import t from 'tap'
import type { ConstraintInput } from '../../../src/engine/constraint/constraint.js'
import { ConstraintError } from '../../../src/engine/constraint/errors.js'
import type { Matcher } from '../../../src/engine/constraint/matcher.js'
import { createConstraintService } from '../../../src/engine/constraint/service.js'
import { validateFinished } from '../../../src/engine/constraint/validate.js'
import { readVocabulary } from './vocabulary.js'
import { randomFrom, walk } from './walk.js'

const vocabulary = await readVocabulary()
const schema = {
  type: 'object',
  properties: { a: { type: 'string' }, b: { type: 'integer' } },
  required: ['a', 'b']
}
const healthy: ConstraintInput = { type: 'json_schema', strict: true, schema }

/** Takes `count` tokens, so that there is a state to be lost. */
async function advance(matcher: Matcher, count: number, random = randomFrom(7)): Promise<void> {
  const logits = new Float32Array(vocabulary.size)
  for (let i = 0; i < count && !matcher.isDone; i++) {
    await matcher.whenReady(20_000)
    logits.fill(0)
    matcher.mask(logits)
    const allowed = [...logits.keys()].filter(token => logits[token] === 0)
    matcher.accept(allowed[Math.floor(random() * allowed.length)]!)
    await new Promise(setImmediate)
  }
}

t.test(
  'a compilation that takes too long is refused; the streams beside it go on where they were',
  async t => {
    const service = createConstraintService({ vocabulary, threads: 1, compileTimeoutMs: 3000 })
    t.teardown(() => service.dispose())
    const compiled = await service.compile(healthy)
    const matchers = [compiled.matcher(), compiled.matcher()]
    for (const [i, matcher] of matchers.entries()) await advance(matcher, 6 + i)
    const slow: ConstraintInput = { type: 'grammar', grammar: slowGrammar() }
    const beside = service.compile({ ...healthy, strict: false } as ConstraintInput)
    await t.rejects(service.compile(slow), { name: 'ConstraintError', message: /too complex/ })
    t.ok(await beside, 'what was being compiled beside it is compiled elsewhere')
    const begun = performance.now()
    await t.rejects(service.compile(slow), { name: 'ConstraintError', message: /too complex/ })
    t.ok(performance.now() - begun < 500, 'the same again is refused at once')
    for (const [i, matcher] of matchers.entries()) {
      await matcher.whenReady(20_000)
      const rest = await walk(matcher, vocabulary, randomFrom(i), { closeAfter: 5 })
      t.ok(rest.ended, 'the stream came to its end')
      matcher.free()
    }
    t.ok(await service.compile(healthy), 'and the service goes on')
  }
)

/** Ten seconds of compiling: nearly as many wide sets as are let through, all open at the same time. */
function slowGrammar(): string {
  const rules = Array.from({ length: 330 }, (_, i) => `r${i} ::= [^a${i % 10}]* "b" [^c] [^d] "${i}"`)
  return `root ::= ${rules.map((_, i) => `r${i}`).join(' | ')}\n${rules.join('\n')}`
}

t.test('a thread that runs out of memory is replaced, and only its last grammar refused', async t => {
  const service = createConstraintService({ vocabulary, threads: 1, memoryLimit: 17 * 1024 * 1024 })
  t.teardown(() => service.dispose())
  const compiled = await service.compile(healthy)
  const matcher = compiled.matcher()
  await advance(matcher, 6)
  const names = Array.from({ length: 900 }, (_, i) => [
    `p${i}`,
    { type: 'string', pattern: `^a*${i}[a-z]{9}$` }
  ])
  const large = { type: 'object', properties: Object.fromEntries(names) }
  await t.rejects(service.compile({ type: 'json_schema', strict: false, schema: large }), ConstraintError)
  const rest = await walk(matcher, vocabulary, randomFrom(3), { closeAfter: 5 })
  t.ok(rest.ended)
  matcher.free()
})

t.test('masks after a replay are the masks of an undisturbed stream', async t => {
  const texts: string[] = []
  for (const disturbed of [false, true]) {
    const service = createConstraintService({ vocabulary, threads: 1, compileTimeoutMs: 3000 })
    const matcher = (await service.compile(healthy)).matcher()
    const random = randomFrom(11)
    await advance(matcher, 8, random)
    if (disturbed) await service.compile({ type: 'grammar', grammar: slowGrammar() }).catch(() => {})
    const result = await walk(matcher, vocabulary, random, { closeAfter: 5 })
    texts.push(result.text)
    await service.dispose()
  }
  t.equal(texts[0], texts[1])
})

t.test('hostile schemas are refused in bounded time, or served', async t => {
  const service = createConstraintService({ vocabulary })
  t.teardown(() => service.dispose())
  let deep: unknown = { type: 'string' }
  for (let i = 0; i < 5000; i++) deep = { type: 'array', items: deep }
  const wide = Object.fromEntries(Array.from({ length: 9000 }, (_, i) => [`p${i}`, { type: 'string' }]))
  let references: Record<string, unknown> = { d0: { type: 'string' } }
  for (let i = 1; i < 60; i++) {
    references = {
      ...references,
      [`d${i}`]: { allOf: [{ $ref: `#/$defs/d${i - 1}` }, { $ref: `#/$defs/d${i - 1}` }] }
    }
  }
  const schemas: unknown[] = [
    deep,
    { type: 'object', properties: wide },
    { $ref: '#/$defs/d59', $defs: references },
    { $ref: '#' },
    { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } },
    { allOf: [{ $ref: '#' }] },
    { anyOf: [{ $ref: '#' }, { $ref: '#' }] },
    { $ref: 'http://example.org/schema.json' },
    { $ref: '#/properties/%zz' },
    { type: 'string', pattern: '(a+)+$' },
    { type: 'string', pattern: '^(([a-z])+.)+[A-Z]([a-z])+$', maxLength: 100 },
    { type: 'string', pattern: `(${'a|'.repeat(900)}b){500}` },
    { type: 'string', pattern: '(a|b)*a(a|b){18}' },
    { type: 'string', minLength: 1e9 },
    { type: 'string', maxLength: 128, minLength: 128 },
    { type: 'array', minItems: 1e9 },
    {
      type: 'array',
      items: { type: 'array', items: { type: 'array', maxItems: 1000 }, maxItems: 1000 },
      maxItems: 1000
    },
    { type: 'integer', multipleOf: 1e-300 },
    { type: 'integer', multipleOf: 997, minimum: -1e15, maximum: 1e15 },
    { type: 'number', minimum: 1e308, maximum: 1.5e308 },
    { type: 'number', minimum: 5, maximum: 4 },
    { enum: Array.from({ length: 9000 }, (_, i) => `value ${i}`) },
    { enum: ['x'.repeat(400_000)] },
    { const: '\u0000\ud800\u2028' },
    {
      type: 'object',
      properties: { __proto__: { type: 'string' }, constructor: { type: 'integer' } },
      required: ['constructor']
    },
    JSON.parse('{"type":"object","properties":{"__proto__":{"type":"string"}},"required":["__proto__"]}'),
    { type: ['object', 'string', 'nothing'] },
    { type: 'object', required: 'a' },
    { properties: [] },
    null,
    'schema',
    [],
    { not: {} },
    false
  ]
  for (const strict of [true, false]) {
    for (const [i, schema] of schemas.entries()) {
      const started = performance.now()
      await service.compile({ type: 'json_schema', schema, strict }).catch(error => {
        if (!(error instanceof ConstraintError)) t.fail(`schema ${i}: ${error}`)
      })
      const seconds = (performance.now() - started) / 1000
      t.ok(seconds < 40, `schema ${i}, strict ${strict}: ${seconds.toFixed(1)} s`)
    }
  }
  const compiled = await service.compile(healthy)
  t.ok((await walk(compiled.matcher(), vocabulary, randomFrom(1))).ended)
})

t.test('random schemas and grammars: a refusal with a reason, or a stream that runs', async t => {
  const service = createConstraintService({ vocabulary })
  t.teardown(() => service.dispose())
  const keyword = fc.constantFrom(
    'type',
    'properties',
    'required',
    'items',
    'enum',
    'anyOf',
    'oneOf',
    'allOf',
    'not',
    '$ref',
    'pattern',
    'minLength',
    'maximum',
    'additionalProperties',
    'const',
    'format',
    'a',
    'prefixItems'
  )
  const { schema } = fc.letrec(tie => ({
    schema: fc.oneof(
      { maxDepth: 4 },
      tie('leaf'),
      fc.array(tie('schema'), { maxLength: 3 }),
      fc.dictionary(keyword, tie('schema'), { maxKeys: 4 })
    ),
    leaf: fc.constantFrom<unknown>(
      'string',
      'object',
      'array',
      'integer',
      '#',
      '#/$defs/a',
      '^a',
      'date',
      1,
      -1,
      0.5,
      true,
      false,
      null,
      '',
      ['a']
    )
  }))
  const piece = fc.constantFrom(
    'root',
    '::=',
    '\n',
    '"a"',
    '[a-z]',
    '(',
    ')',
    '|',
    '*',
    '+',
    '?',
    '{2}',
    '{1,}',
    'b',
    ' ',
    '[^',
    ']',
    '\\',
    '"',
    '#',
    '.',
    '<',
    'root ::= ',
    'b ::= "x"\n'
  )
  const grammar = fc.array(piece, { maxLength: 20 }).map(pieces => `root ::= "s" ${pieces.join('')}`)
  const input = fc.oneof(
    fc.record({ type: fc.constant('json_schema' as const), schema, strict: fc.boolean() }),
    fc.record({ type: fc.constant('grammar' as const), grammar })
  )
  let compiled = 0
  await fc.assert(
    fc.asyncProperty(input, async constraint => {
      const ready = await service.compile(constraint).catch(error => {
        if (error instanceof ConstraintError && error.message !== 'it could not be compiled') return null
        throw error
      })
      if (!ready) return
      compiled++
      const matcher = ready.matcher()
      await advance(matcher, 10)
      matcher.free()
    }),
    { numRuns: 400, endOnFailure: true }
  )
  t.ok(compiled > 40, `${compiled} of 400 compiled`)
})

t.test('patterns that make backtracking matchers hang do not hang the validation', async t => {
  const text = JSON.stringify(`${'a'.repeat(50_000)}!`)
  const started = performance.now()
  t.match(validateFinished({ type: 'string', pattern: '^(a+)+$' }, text), { ok: false })
  t.match(validateFinished({ type: 'string', pattern: '^(a|a)*$' }, text), { ok: false })
  t.ok(performance.now() - started < 5000)
})

t.test('equal constraints are compiled once, and forgotten ones again', async t => {
  const service = createConstraintService({ vocabulary, cacheSize: 2 })
  t.teardown(() => service.dispose())
  const first = await service.compile(healthy)
  for (let i = 0; i < 4; i++) await service.compile({ type: 'grammar', grammar: `root ::= "${i}"` })
  const matcher = first.matcher()
  t.ok(
    (await walk(matcher, vocabulary, randomFrom(2))).ended,
    'a forgotten grammar is compiled again when used'
  )
  matcher.free()
  t.throws(() => matcher.accept(1), { name: 'ConstraintFailedError' })
})
