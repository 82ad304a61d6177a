import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { flagHelp, settingsTable } from '../../src/config/help.js'
import {
  fileKey,
  longFlag,
  type Setting,
  settingNames,
  settings,
  variable
} from '../../src/config/settings.js'
import { isSwitch, readJson } from '../../src/config/values.js'
import { packageRoot } from '../../src/root.js'

t.test('names: one setting, three spellings', async t => {
  t.equal(longFlag('ctxSize'), '--ctx-size')
  t.equal(variable('ctxSize'), 'OCTAVO_CTX_SIZE')
  t.equal(fileKey('ctxSize'), 'ctx-size')
})

t.test('every setting is complete', async t => {
  const flags = settingNames.flatMap(name => [longFlag(name), ...((settings[name] as Setting).flags ?? [])])
  t.equal(new Set(flags).size, flags.length, 'no flag twice')
  for (const name of settingNames) {
    const setting: Setting = settings[name]
    t.doesNotThrow(() => readJson(setting, setting.default, name), `${name}: the default is allowed`)
    t.equal(setting.value === undefined, isSwitch(setting.schema), `${name}: has a word for its value`)
    t.match(setting.help, /^[A-Z].*\.$/, `${name}: help is whole sentences`)
  }
})

t.test('the help has every flag and fits a terminal', async t => {
  const help = flagHelp()
  for (const name of settingNames) t.ok(help.includes(longFlag(name)), longFlag(name))
  t.same(
    help.split('\n').filter(line => line.length > 100),
    []
  )
})

/** `OCTAVO_UPDATE_DOCS=1` writes the table instead. */
t.test('docs/configuration.md has the table of these settings', async t => {
  const file = path.join(packageRoot(), 'docs', 'configuration.md')
  const [, before, table, after] = /^([\s\S]*<!-- settings -->\n)([\s\S]*)(\n<!-- end -->[\s\S]*)$/.exec(
    readFileSync(file, 'utf8')
  )!
  if (process.env.OCTAVO_UPDATE_DOCS) writeFileSync(file, `${before}${settingsTable()}${after}`)
  else t.equal(table, settingsTable())
})
