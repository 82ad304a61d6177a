import { UsageError } from './errors.js'
import { longFlag, type Setting, type SettingName, settingNames, settings } from './settings.js'
import { didYouMean } from './suggest.js'
import { isList, isSwitch, readText } from './values.js'

/** Every flag as it may be typed, long ones first. */
const names = new Map<string, SettingName>(settingNames.map(name => [longFlag(name), name]))
for (const name of settingNames) {
  const setting: Setting = settings[name]
  for (const flag of setting.flags ?? []) names.set(flag, name)
}

/**
 * Reads flags as llama-server does: `--port 80`, `--port=80`, `-np 4` (one dash, several letters), switches with
 * `--no-` to turn them off. A list that is given several times is joined; of anything else the last one counts.
 * @throws UsageError
 */
export function readArgv(argv: readonly string[]): Partial<Record<SettingName, unknown>> {
  const found: Partial<Record<SettingName, unknown>> = {}
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at]!
    if (!/^-./.test(word)) {
      throw new UsageError(`unexpected argument "${word}": a model is given as --model ${word}`)
    }
    const equals = word.startsWith('--') ? word.indexOf('=') : -1
    const flag = equals < 0 ? word : word.slice(0, equals)
    const negated = flag.startsWith('--no-') ? names.get(`--${flag.slice(5)}`) : undefined
    const name = names.get(flag) ?? negated
    if (!name || (negated && !isSwitch(settings[negated].schema))) {
      throw new UsageError(`unknown flag ${flag}${didYouMean(flag, names.keys())}`)
    }
    const setting: Setting = settings[name]
    let text = equals < 0 ? undefined : word.slice(equals + 1)
    if (isSwitch(setting.schema)) {
      if (negated && text !== undefined) throw new UsageError(`${flag}: takes no value`)
      text ??= negated ? 'false' : 'true'
    } else if (text === undefined) {
      at++
      text = argv[at]
      if (text === undefined || names.has(text))
        throw new UsageError(`${flag}: needs a value (${setting.value})`)
    }
    const value = readText(setting, text, flag)
    const earlier = found[name]
    found[name] =
      isList(setting.schema) && earlier ? [...(earlier as string[]), ...(value as string[])] : value
  }
  return found
}
