/**
 * A process that writes pieces without end, to be killed: `node kill-child.js FOLDER SEED CAP`. Says `ready` once it
 * writes. Its blobs are those of support.ts, so that whoever reads them can tell.
 */
import { blobOf, chainOf, openStore, tokensOf } from './support.js'

const [folder, seed, cap] = process.argv.slice(2)
const store = openStore(folder!, { disk: { capBytes: Number(cap) } })
await store.ready
process.stdout.write('ready\n')
for (let i = 0; ; i++) {
  const chain = chainOf(tokensOf(Number(seed) * 1000 + (i % 40), 256 + ((i * 37) % 500)))
  for (const piece of chain.pieces(0)) store.put(piece, blobOf(piece), { durable: true })
  // One conversation at a time, as fast as the disk takes them.
  while (store.stats().disk!.queuedBytes > 200_000) await new Promise(setImmediate)
  await new Promise(setImmediate)
}
