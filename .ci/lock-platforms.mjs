// npm leaves the optional packages of other platforms out of package-lock.json where its registry mirror lacks them; then
// `npm ci` refuses the lock. This puts them back: run it after every `npm install` (npm run lock).
import { readFileSync, writeFileSync } from 'node:fs'

const file = process.argv[2] ?? 'package-lock.json'
const lock = JSON.parse(readFileSync(file, 'utf8'))
const os = {
  mac: 'darwin',
  darwin: 'darwin',
  win: 'win32',
  win32: 'win32',
  linux: 'linux',
  android: 'android'
}
for (const parent of ['node_modules/@biomejs/biome', 'node_modules/node-llama-cpp']) {
  const { dev, optionalDependencies } = lock.packages[parent]
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const key = `node_modules/${name}`
    if (lock.packages[key]) continue
    const parts = name.split('/')[1].replace(/^cli-/, '').split('-')
    lock.packages[key] = {
      version,
      cpu: [parts[1]],
      ...(dev && { dev: true }),
      ...(parts[2] === 'musl' && { libc: ['musl'] }),
      optional: true,
      os: [os[parts[0]]]
    }
  }
}
const sorted = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
)
writeFileSync(file, `${JSON.stringify({ ...lock, packages: sorted }, null, 2)}\n`)
