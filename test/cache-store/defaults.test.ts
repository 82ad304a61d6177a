import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { defaultCacheFolder, defaultDiskBytes, defaultRamBytes } from '../../src/cache-store/defaults.js'

const GIB = 1024 ** 3

t.test('the cache folder follows the platform', async t => {
  t.equal(defaultCacheFolder({}, 'linux'), path.join(homedir(), '.cache', 'octavo'))
  t.equal(defaultCacheFolder({ XDG_CACHE_HOME: '/var/x' }, 'linux'), path.join('/var/x', 'octavo'))
  t.equal(defaultCacheFolder({ XDG_CACHE_HOME: 'x' }, 'linux'), path.join(homedir(), '.cache', 'octavo'))
  t.equal(defaultCacheFolder({}, 'darwin'), path.join(homedir(), 'Library', 'Caches', 'octavo'))
  t.equal(defaultCacheFolder({ LOCALAPPDATA: 'L' }, 'win32'), path.join('L', 'octavo', 'cache'))
})

t.test('caps are a share of what there is, and bounded', async t => {
  const here = defaultDiskBytes(tmpdir())
  t.ok(here > 0 && here <= 10 * GIB)
  const below = defaultDiskBytes(path.join(tmpdir(), 'not', 'there', 'yet'))
  t.ok(below > 0, 'a folder that will be made')
  t.equal(defaultDiskBytes(tmpdir(), 1e15), 10 * GIB)
  t.equal(defaultRamBytes(16 * GIB), 2 * GIB)
  t.equal(defaultRamBytes(512 * GIB), 8 * GIB)
})
