import fc from 'fast-check'
import t from 'tap'
import { applyMask, maskAllows } from '../../../src/engine/constraint/mask.js'
import { createState, HEADER } from '../../../src/engine/constraint/protocol.js'

/** Words as masks have them: all, none, all but few, few. */
const word = fc.oneof(
  fc.constant(-1),
  fc.constant(0),
  fc.nat(31).map(bit => ~(1 << bit)),
  fc.nat(31).map(bit => 1 << bit),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
)

t.test('writes -Infinity where the mask has a 0, and nowhere else', async t => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.array(word, { minLength: 7, maxLength: 7 }),
      (size, words) => {
        const state = createState(size)
        state.set(words.slice(0, state.length - HEADER), HEADER)
        // A row of a larger array, as logits are: the next row must stay as it is.
        const rows = Float32Array.from({ length: size + 40 }, (_, i) => i)
        const logits = rows.subarray(0, size)
        applyMask(logits, state)
        for (let token = 0; token < size; token++) {
          const allowed = ((words[token >> 5]! >>> (token & 31)) & 1) === 1
          if (logits[token] !== (allowed ? token : Number.NEGATIVE_INFINITY)) return false
          if (maskAllows(state, token) !== allowed) return false
        }
        return rows.subarray(size).every((value, i) => value === size + i)
      }
    ),
    { numRuns: 2000 }
  )
  t.pass('2000 masks')
})
