import fc from 'fast-check'
import t from 'tap'
import {
  commonLength,
  DEFAULT_GRID,
  isProperPrefix,
  PieceChain,
  pieceHash,
  rootHash
} from '../../../src/engine/tiers/piece.js'
import { chainOf, tokensOf } from './support.js'

t.test('a chain that grows has the same pieces as one made at once', async t => {
  const lengths = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 8 })
  fc.assert(
    fc.property(lengths, fc.integer({ min: 1, max: 9 }), (steps, grid) => {
      const length = steps.reduce((a, b) => a + b, 0)
      const all = tokensOf(3, length)
      const growing = new PieceChain('s', grid)
      let at = 0
      for (const step of steps) {
        at += step
        growing.extend(all.slice(0, at))
        growing.pieces(0)
      }
      t.strictSame(growing.pieces(0), chainOf(all, 's', grid).pieces(0))
    })
  )
})

t.test('a hash names the whole prefix: salt, grid and every token of it', async t => {
  const tokens = tokensOf(1, 1024)
  const hash = chainOf(tokens).hashAt(3)
  for (const at of [0, 255, 256, 700, 1023]) {
    const other = Int32Array.from(tokens)
    other[at]! ^= 1
    t.not(chainOf(other).hashAt(3), hash, `token ${at}`)
  }
  t.not(chainOf(tokens, 'salt').hashAt(3), hash)
  t.not(chainOf(tokens, '', 128).hashAt(7), hash)
  t.not(rootHash('a'), rootHash('b'))
  t.equal(hash, pieceHash(chainOf(tokens).hashAt(2), tokens.slice(768)))
  t.match(hash, /^[0-9a-f]{40}$/)
})

t.test('pieces are cut on the grid, the last one is a tail', async t => {
  const pieces = chainOf(tokensOf(1, 600)).pieces(300)
  t.strictSame(
    pieces.map(({ start, tokens }) => [start, start + tokens.length]),
    [
      [256, 512],
      [512, 600]
    ]
  )
  t.equal(pieces[1]!.parent, pieces[0]!.hash)
  t.equal(chainOf(tokensOf(1, 600)).pieces(0)[0]!.parent, rootHash(''))
  t.equal(DEFAULT_GRID, 256)
})

t.test('what is not a piece is refused', async t => {
  const chain = chainOf(tokensOf(1, 600))
  t.throws(() => chain.piece(1, 200), RangeError)
  t.throws(() => chain.piece(0, 257), RangeError)
  t.throws(() => chain.piece(512, 601), RangeError)
  t.throws(() => chain.piece(512, 512), RangeError)
  t.throws(() => chain.hashAt(2), RangeError)
  t.throws(() => chain.extend(tokensOf(1, 10)), RangeError)
  t.throws(() => chain.extend(tokensOf(1, 700), 701), RangeError)
})

t.test('common lengths', async t => {
  const prompt = Int32Array.of(9, 1, 2, 3)
  t.equal(commonLength(Int32Array.of(1, 2, 4), prompt, 1, 4), 2)
  t.equal(commonLength(Int32Array.of(1, 2, 3, 4), prompt, 1, 4), 3)
  t.equal(commonLength(Int32Array.of(1, 2, 3), prompt, 1, 2), 1)
  t.ok(isProperPrefix(Int32Array.of(9, 1), prompt))
  t.notOk(isProperPrefix(prompt, prompt))
  t.notOk(isProperPrefix(Int32Array.of(1), prompt))
})

t.test('the chain of 100k tokens takes single-digit milliseconds', async t => {
  const tokens = tokensOf(1, 100_000)
  const times = Array.from({ length: 7 }, () => {
    const began = performance.now()
    const chain = chainOf(tokens)
    chain.hashAt(chain.fullPieces - 1)
    return performance.now() - began
  })
  t.comment(`${Math.min(...times).toFixed(2)} ms`)
  t.ok(Math.min(...times) < 10)
})
