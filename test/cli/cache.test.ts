import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { ask, cacheFolder, pieceFiles, startCached } from '../support/cached-server.js'
import { octavo } from './octavo.js'

type Test = Parameters<typeof octavo>[0]

async function run(test: Test, folder: string, ...args: string[]) {
  const program = octavo(test, ['cache', ...args], { OCTAVO_CACHE_DIR: folder })
  const [code] = await program.ended
  return { code, out: program.stdout(), err: program.stderr() }
}

/** What a command reports as JSON. */
async function report(test: Test, folder: string, ...args: string[]) {
  const { code, out } = await run(test, folder, ...args, '--json')
  return { code, ...JSON.parse(out) }
}

const name = 'MiniMind2-Small-26M-q8_0'

t.test('what a server has stored is listed, verified, trimmed and cleared', async t => {
  const folder = cacheFolder(t)
  const server = await startCached(t, folder)
  const asked = await ask(server, 'alpha')
  await ask(server, 'beta')
  await server.end()
  const files = pieceFiles(folder)
  t.ok(files.length >= 6)

  const listed = await report(t, folder, 'list')
  t.match(listed, { code: 0, folder: path.join(folder, 'prefixes'), pieces: files.length })
  t.match(listed.models, [{ model: name, pieces: files.length, bytes: listed.bytes, temporary: 0 }])
  t.ok(Date.now() - Date.parse(listed.models[0].newestUse) < 120_000)
  const table = await run(t, folder, 'list')
  t.match(table, { code: 0, err: '' })
  t.match(table.out, /^MODEL +FOLDER +PIECES +SIZE +HITS +LAST USED +LEAST RECENTLY\n/m)
  t.match(
    table.out,
    new RegExp(`^${name} +model-[0-9a-f]{8} +${files.length} +\\d+ MiB +\\d+ +\\d+ s ago`, 'm')
  )

  const sound = await run(t, folder, 'verify')
  t.match(sound, { code: 0, out: /^\d+ pieces \(\d+ MiB\) checked: no damage\n$/ })
  t.match(
    sound.err,
    /^checking: 100 %, (\d+) of \1 pieces, (\d+ MiB) of \2\n/m,
    'progress goes to the terminal'
  )

  const [flipped, grown] = files as [string, string]
  const bytes = readFileSync(flipped)
  bytes[bytes.length >> 1]! ^= 1
  writeFileSync(flipped, bytes)
  appendFileSync(grown, 'more')
  const damaged = await run(t, folder, 'verify')
  t.match(damaged, { code: 1, out: / checked: 2 damaged, 0 removed\nRemove them with: / })
  t.ok([flipped, grown].every(file => damaged.out.includes(`${file}: `)))
  t.equal(pieceFiles(folder).length, files.length, 'nothing is removed unasked')
  const removed = await report(t, folder, 'verify', '--remove')
  t.match(removed, {
    code: 0,
    damaged: [{ path: flipped, kind: 'checksum', removed: true }, { path: grown }]
  })
  t.same(pieceFiles(folder), files.slice(2))

  const trimmed = await report(t, folder, 'trim', '--to', '2m')
  t.equal(trimmed.removed.files + trimmed.left.files, files.length - 2)
  t.ok(trimmed.left.files > 0 && trimmed.left.bytes <= 2 * 2 ** 20)
  t.equal(pieceFiles(folder).length, trimmed.left.files)

  const again = await startCached(t, folder)
  t.equal((await ask(again, 'alpha')).promptTokens, asked.promptTokens, 'what is left is served')
  await again.end()

  t.match(await run(t, folder, 'clear', '--model', 'other'), {
    code: 2,
    err: new RegExp(`there is ${name}\n$`)
  })
  const cleared = await run(t, folder, 'clear', '--model', name)
  t.match(cleared, { code: 0, out: / removed, 0 \(0 B\) left\n$/ }, 'a program is not asked')
  t.same(pieceFiles(folder), [])
})

t.test('a server that uses the folder goes on', async t => {
  const folder = cacheFolder(t)
  const first = await startCached(t, folder)
  const hot = await ask(first, 'alpha').then(() => ask(first, 'alpha'))
  await first.end()
  const server = await startCached(t, folder)
  t.ok(server.ready.cache!.disk!.pieces > 0)
  t.match(await report(t, folder, 'verify', '--remove'), { code: 0, damaged: [] })
  t.match(await report(t, folder, 'clear'), { code: 0, left: { files: 0 } })
  const computed = await ask(server, 'alpha')
  t.equal(computed.source.disk, 0, 'what it thought to have is a miss')
  const found = await ask(server, 'alpha')
  t.equal(found.source.resident, found.promptTokens - 1)
  t.same(found.logprobs, hot.logprobs)
  await server.end()
  t.match(await report(t, folder, 'verify'), { code: 0, damaged: [] })
  t.ok(pieceFiles(folder).length > 0, 'it stores again')
})

t.test('an empty folder, and mistakes', async t => {
  const folder = t.testdir({ file: '' })
  t.match(await run(t, folder, 'list'), { code: 0, out: /^Nothing is stored in \/.*prefixes\n$/ })
  t.match(await report(t, folder, 'list'), { code: 0, pieces: 0, bytes: 0, models: [] })
  t.match(await report(t, folder, 'verify'), { code: 0, files: 0, damaged: [] })
  t.match(await run(t, folder, 'clear'), { code: 0, out: /^0 pieces/ })
  const cases: Array<[args: string[], line: RegExp]> = [
    [[], /^octavo: cache: one of list, verify, trim, clear\n$/],
    [['lost'], /^octavo: cache lost: should be one of list, verify, trim, clear\n$/],
    [['list', '--remove'], /^octavo: cache list: Unknown option '--remove'\n$/],
    [['trim'], /^octavo: cache trim: needs --to SIZE, e\.g\. --to 2g\n$/],
    [['trim', '--to', 'half'], /^octavo: --to: "half" is not a whole number of at least 0\n$/]
  ]
  for (const [args, line] of cases) t.match(await run(t, folder, ...args), { code: 2, out: '', err: line })
  t.match(await run(t, folder, '--help'), { code: 0, out: /Usage: octavo cache COMMAND/, err: '' })
})
