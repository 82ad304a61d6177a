/** The one way to configure the server: flags before `OCTAVO_*` variables before the config file before defaults. */
import { readFileSync } from 'node:fs'
import type { Static } from 'typebox'
import { readArgv } from './config/argv.js'
import { UsageError } from './config/errors.js'
import { fileKey, type SettingName, settingNames, settings, variable } from './config/settings.js'
import { didYouMean, nearest } from './config/suggest.js'
import { readJson, readText } from './config/values.js'

export { UsageError } from './config/errors.js'

type Values = { [Name in SettingName]: Static<(typeof settings)[Name]['schema']> }

/** All settings, as `src/config/settings.ts` defines them. `apiKey` includes the keys of `apiKeyFile`. */
export interface Config extends Values {}

/**
 * Pure apart from reading the config file and the key file.
 * @param argv what follows the command
 * @throws UsageError that names the flag, the variable or the key
 */
export function loadConfig(argv: readonly string[], env: NodeJS.ProcessEnv): Config {
  const flags = readArgv(argv)
  const variables = readEnvironment(env)
  const given = { ...variables, ...flags }
  const file = given.config ? readConfigFile(String(given.config)) : {}
  const defaults = Object.fromEntries(settingNames.map(name => [name, settings[name].default]))
  const config = { ...defaults, ...file, ...given } as Config
  if (config.apiKeyFile) config.apiKey = [...config.apiKey, ...readKeyFile(config.apiKeyFile)]
  checkTogether(config)
  return config
}

function readEnvironment(env: NodeJS.ProcessEnv): Partial<Record<SettingName, unknown>> {
  const names = new Map(settingNames.map(name => [variable(name), name]))
  const found: Partial<Record<SettingName, unknown>> = {}
  for (const [key, text] of Object.entries(env)) {
    if (!key.startsWith('OCTAVO_') || !text) continue
    const name = names.get(key)
    if (name) found[name] = readText(settings[name], text, key)
    // Variables of other programs may begin alike; only what looks like a slip of the fingers is refused.
    else if (
      nearest(
        key.slice(7),
        [...names.keys()].map(known => known.slice(7))
      )
    ) {
      throw new UsageError(`unknown variable ${key}${didYouMean(key, names.keys())}`)
    }
  }
  return found
}

function readConfigFile(file: string): Partial<Record<SettingName, unknown>> {
  const content = parseJson(readInput(file, '--config'), file)
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new UsageError(`${file}: must hold a JSON object`)
  }
  const names = new Map(
    settingNames.filter(name => !('notInFile' in settings[name])).map(name => [fileKey(name), name])
  )
  const found: Partial<Record<SettingName, unknown>> = {}
  for (const [key, value] of Object.entries(content)) {
    const name = names.get(key)
    if (!name) throw new UsageError(`${file}: unknown key "${key}"${didYouMean(key, names.keys())}`)
    found[name] = readJson(settings[name], value, `${file}: ${key}`)
  }
  return found
}

function readKeyFile(file: string): string[] {
  const keys = readInput(file, '--api-key-file')
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
  if (keys.length === 0) throw new UsageError(`--api-key-file: ${file} holds no key`)
  return keys
}

function readInput(file: string, source: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`${source}: cannot read ${file} (${(error as NodeJS.ErrnoException).code})`)
  }
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new UsageError(`${file}: not valid JSON (${(error as Error).message})`)
  }
}

/** What no single setting can see. */
function checkTogether(config: Config): void {
  const quantized = !['f32', 'f16', 'bf16'].includes(config.cacheTypeV)
  if (quantized && config.flashAttn === 'off') {
    throw new UsageError(`--cache-type-v ${config.cacheTypeV} needs flash attention, but --flash-attn is off`)
  }
}
