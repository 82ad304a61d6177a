import {
  type Group,
  longFlag,
  type Setting,
  type SettingName,
  settingNames,
  settings,
  variable
} from './settings.js'
import { describe, isChoice, isList, isSwitch } from './values.js'

const column = 34
const width = 100

/** The flags of `octavo serve`, grouped. */
export function flagHelp(): string {
  const groups = new Map<Group, SettingName[]>()
  for (const name of settingNames) {
    const group = settings[name].group
    groups.set(group, [...(groups.get(group) ?? []), name])
  }
  return [...groups].map(([group, names]) => `${group}:\n${names.map(flagEntry).join('\n')}`).join('\n\n')
}

/** One row per setting; `docs/configuration.md` holds this table. */
export function settingsTable(): string {
  const rows = settingNames.map(name => {
    const setting: Setting = settings[name]
    const flags = [longFlag(name), ...(setting.flags ?? [])].map(flag => `\`${flag}\``).join(' ')
    const cells = [
      flags,
      `\`${variable(name)}\``,
      kind(setting),
      shownDefault(setting) || 'none',
      setting.help
    ]
    return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
  })
  return ['| Flag | Variable | Value | Default | Meaning |', '|---|---|---|---|---|', ...rows].join('\n')
}

function flagEntry(name: SettingName): string {
  const setting: Setting = settings[name]
  const flags = [...(setting.flags ?? []).filter(flag => !flag.startsWith('--')), longFlag(name)].join(', ')
  const head = `  ${flags}${setting.value ? ` ${setting.value}` : ''}`
  const shown = shownDefault(setting)
  const choices = isChoice(setting.schema) ? ` It is ${describe(setting.schema)}.` : ''
  const text = `${setting.help}${choices}${shown ? ` [${shown}]` : ''}`
  const lines = wrap(text, width - column)
  const first = head.length < column - 1 ? `${head.padEnd(column)}${lines.shift()}` : head
  return [first, ...lines.map(line => ' '.repeat(column) + line)].join('\n')
}

function kind(setting: Setting): string {
  if (isSwitch(setting.schema)) return 'switch'
  if (setting.json) return 'JSON'
  return setting.bytes ? 'bytes' : describe(setting.schema)
}

function shownDefault(setting: Setting): string {
  if (isSwitch(setting.schema)) return setting.default ? 'on' : 'off'
  if (isList(setting.schema)) return (setting.default as string[]).join(',')
  if (setting.bytes && setting.default) return `${(setting.default as number) / 2 ** 20}m`
  return String(setting.default)
}

function wrap(text: string, columns: number): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!
    if (line === '') lines[lines.length - 1] = word
    else if (line.length + 1 + word.length <= columns) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines
}
