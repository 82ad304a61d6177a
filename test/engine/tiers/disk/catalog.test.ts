import fc from 'fast-check'
import t from 'tap'
import { ANCHOR_BONUS_MS, bytesOnDisk, Catalog } from '../../../../src/engine/tiers/disk/catalog.js'

function catalogOf(
  files: Array<{
    hash: string
    parent?: string
    start?: number
    usedMs: number
    anchor?: boolean
    bytes?: number
  }>
): Catalog {
  const catalog = new Catalog()
  for (const { hash, parent = 'root', start = 0, usedMs, anchor = false, bytes = 4096 } of files) {
    catalog.set({ folder: 'f', name: hash, bytes, usedMs, piece: { hash, parent, start, anchor } })
  }
  return catalog
}

const names = (catalog: Catalog, need: number, parent?: string) =>
  catalog.victims(need, parent).map(file => file.name)

t.test('least recently used first, as many as it takes', async t => {
  const catalog = catalogOf([
    { hash: 'b', usedMs: 2 },
    { hash: 'a', usedMs: 1 },
    { hash: 'c', usedMs: 3 }
  ])
  t.strictSame(names(catalog, 0), [])
  t.strictSame(names(catalog, 1), ['a'])
  t.strictSame(names(catalog, 4097), ['a', 'b'])
  t.strictSame(names(catalog, 1e9), ['a', 'b', 'c'])
})

t.test('a piece is as young as the youngest that hangs on it, and deeper ones go first', async t => {
  const catalog = catalogOf([
    { hash: 'top', usedMs: 1 },
    { hash: 'middle', parent: 'top', start: 256, usedMs: 2 },
    { hash: 'leaf', parent: 'middle', start: 512, usedMs: 10 },
    { hash: 'other', usedMs: 5 }
  ])
  t.strictSame(names(catalog, 1e9), ['other', 'leaf', 'middle', 'top'])
})

t.test('anchors count as younger', async t => {
  const catalog = catalogOf([
    { hash: 'anchor', usedMs: 0, anchor: true },
    { hash: 'within', usedMs: ANCHOR_BONUS_MS - 1 },
    { hash: 'after', usedMs: ANCHOR_BONUS_MS + 1 }
  ])
  t.strictSame(names(catalog, 1e9), ['within', 'anchor', 'after'])
})

t.test('what the new piece hangs on stays, and so do files that are no pieces', async t => {
  const catalog = catalogOf([
    { hash: 'top', usedMs: 1 },
    { hash: 'next', parent: 'top', start: 256, usedMs: 1 },
    { hash: 'other', usedMs: 9 }
  ])
  catalog.set({ folder: 'f', name: 'about.json', bytes: 4096, usedMs: 0, fixed: true })
  catalog.set({ folder: 'g', name: 'foreign', bytes: 4096, usedMs: 3 })
  t.strictSame(names(catalog, 1e9, 'next'), ['foreign', 'other'])
})

t.test('sums are right after any changes', async t => {
  const change = fc.record({
    name: fc.nat(9),
    folder: fc.constantFrom('f', 'g'),
    bytes: fc.option(fc.nat(9999))
  })
  fc.assert(
    fc.property(fc.array(change), changes => {
      const catalog = new Catalog()
      const truth = new Map<string, number>()
      for (const { name, folder, bytes } of changes) {
        const key = `${folder}/${name}`
        const known = catalog.get(folder, String(name))
        if (bytes === null) {
          if (known) catalog.delete(known)
          truth.delete(key)
        } else {
          catalog.set({ folder, name: String(name), bytes: bytesOnDisk(bytes), usedMs: 0 })
          truth.set(key, bytesOnDisk(bytes))
        }
      }
      const sum = (of: string) =>
        [...truth].reduce((total, [key, bytes]) => total + (key.startsWith(of) ? bytes : 0), 0)
      t.equal(catalog.totalBytes, sum(''))
      t.equal(catalog.bytesOf('f'), sum('f'))
      t.equal([...catalog.filesOf('g')].length, [...truth.keys()].filter(key => key.startsWith('g')).length)
    })
  )
})
