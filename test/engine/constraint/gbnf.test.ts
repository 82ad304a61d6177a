import t from 'tap'
import { prepareConstraint } from '../../../src/engine/constraint/constraint.js'
import { createConstraintService } from '../../../src/engine/constraint/service.js'
import { readVocabulary, spell } from './vocabulary.js'
import { accepts, randomFrom, walk } from './walk.js'

const vocabulary = await readVocabulary()
const service = createConstraintService({ vocabulary })
t.teardown(() => service.dispose())

async function allows(grammar: string, text: string): Promise<boolean> {
  const matcher = (await service.compile({ type: 'grammar', grammar })).matcher()
  const allowed = await accepts(matcher, vocabulary, spell(vocabulary, text))
  matcher.free()
  return allowed
}

t.test('reads the language as llama.cpp does', async t => {
  const cases: Array<[grammar: string, good: string[], bad: string[]]> = [
    ['root ::= "yes" | "no"', ['yes', 'no'], ['', 'maybe', 'yesno']],
    ['# a comment\nroot ::= a+ # another\na ::= [a-c] [^0-9\\n]?', ['a', 'b-c', 'aa'], ['d', 'a1']],
    ['root ::= ("x" | "y"){2,3} "!"?', ['xy', 'yyy!', 'xx!'], ['x', 'xyxy', '!']],
    ['root ::= (\n  "a" |\n  "b"\n)\n  ', ['a', 'b'], ['c']],
    ['root ::= "a" |\n  "b"', ['a', 'b'], ['ab']],
    [
      'root ::= item ("," item)*\nitem ::= "(" item ")" | [0-9]{2,}',
      ['10', '((10)),123'],
      ['1', '(10', '10,']
    ],
    [
      'root ::= "\\x41\\u00e9\\U0001F600" [à-ÿ一-鿿]+',
      ['Aé😀中é', 'Aé😀ÿ'],
      ['Aé😀a', 'Aé😀×'.replace('×', '€')]
    ],
    ['root ::= .{2} "\\""', ['ab"', '中é"'], ['a"', 'abc"']],
    ['root ::= [\\]\\-^"\\\\]*', [']-^"\\', ''], ['a']],
    ['root ::= foo-bar\nfoo-bar ::= "" | "z" foo-bar', ['', 'zzz'], ['y']]
  ]
  for (const [grammar, good, bad] of cases) {
    for (const text of good) t.ok(await allows(grammar, text), `${grammar} allows ${text}`)
    for (const text of bad) t.notOk(await allows(grammar, text), `${grammar} refuses ${text}`)
  }
})

t.test('what is wrong is said, with the line', async t => {
  const cases: Array<[grammar: string, message: RegExp]> = [
    ['', /no rule named root/],
    ['foo ::= "a"', /no rule named root/],
    ['root ::= "a', /line 1: expected "/],
    ['root ::= "a"\nb = "c"', /line 2: expected ::=/],
    ['root ::= missing', /refers to .*missing/],
    ['root ::= root "a" | "b"', /left recursion/],
    ['root ::= a "x"\na ::= b? root | "y"\nb ::= "z"', /left recursion/],
    ['root ::= ("a"?)* root | "x"', /left recursion/],
    ['root ::= "a" root', /nothing can ever satisfy/],
    ['root ::= "a"{3,2}', /most is below its least/],
    ['root ::= "a"{5000}', /repeats more than/],
    ['root ::= (("a"{1000}){1000}){1000}', /larger than/],
    ['root ::= [z-a]', /range/],
    ['root ::= [\\ud800]', /Unicode/],
    ['root ::= "\\q"', /unknown escape/],
    ['root ::= <think>', /token references/],
    ['root ::= .{2000}', /nearly any character/],
    ['root ::= "a"\nroot ::= "b"', /defined twice/],
    [`root ::= ${'('.repeat(200_000)}`, /longer than|nested/],
    [`root ::= ${'('.repeat(60_000)}"a"${')'.repeat(60_000)}`, /nested deeper/],
    [
      `root ::= "a"\n${Array.from({ length: 6000 }, (_, i) => `r${i} ::= "x"`).join('\n')}`,
      /more than .* rules/
    ]
  ]
  for (const [grammar, message] of cases) {
    await t.rejects(service.compile({ type: 'grammar', grammar }), {
      name: 'ConstraintError',
      param: 'grammar',
      message
    })
  }
})

t.test("llama.cpp's JSON grammar: what comes out parses", async t => {
  const grammar = [
    'root ::= object',
    'value ::= object | array | string | number | ("true" | "false" | "null") ws',
    'object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws',
    'array ::= "[" ws (value ("," ws value)*)? "]" ws',
    'string ::= "\\"" ([^"\\\\\\x7F\\x00-\\x1F] | "\\\\" (["\\\\bfnrt] | "u" [0-9a-fA-F]{4}))* "\\"" ws',
    'number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws',
    'ws ::= | " " | "\\n" [ \\t]{0,20}'
  ].join('\n')
  const compiled = await service.compile({ type: 'grammar', grammar })
  let ended = 0
  for (let seed = 0; seed < 20; seed++) {
    const matcher = compiled.matcher()
    const result = await walk(matcher, vocabulary, randomFrom(seed))
    matcher.free()
    if (!result.ended) continue
    ended++
    t.doesNotThrow(() => JSON.parse(result.text))
  }
  t.ok(ended >= 18)
})

t.test('a string is an automaton, not a loop over a rule', async t => {
  const { ebnf } = prepareConstraint({
    type: 'grammar',
    grammar: 'root ::= "\\"" char* "\\""\nchar ::= [^"\\\\] | "\\\\" ["\\\\]'
  })
  const root = ebnf.split('\n').find(line => line.startsWith('r1 ::='))
  t.equal(root, 'r1 ::= [\\u0022] h0_1')
})
