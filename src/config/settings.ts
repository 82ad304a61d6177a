/**
 * Every setting of the server, defined once. The flag, the variable, the key in the config file, the help, the table in
 * `docs/configuration.md`, the validation and the type `Config` all come from here: a new setting is one entry.
 * Names and meanings are llama-server's wherever it has the setting.
 */
import { admissionSettings } from './settings/admission.js'
import { cacheSettings } from './settings/cache.js'
import { httpSettings } from './settings/http.js'
import { logSettings } from './settings/log.js'
import { modelsSettings } from './settings/models.js'
import { speedSettings } from './settings/speed.js'

export type { Group, Setting } from './setting.js'
export { defaultEmbeddingModel, defaultModel } from './settings/models.js'

export const settings = {
  ...modelsSettings,
  ...speedSettings,
  ...cacheSettings,
  ...admissionSettings,
  ...httpSettings,
  ...logSettings
}

export type SettingName = keyof typeof settings

export const settingNames = Object.keys(settings) as SettingName[]

/** `ctxSize` is `ctx-size` in the config file, `--ctx-size` as a flag and `OCTAVO_CTX_SIZE` in the environment. */
export function fileKey(name: SettingName): string {
  return name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}

export function longFlag(name: SettingName): string {
  return `--${fileKey(name)}`
}

export function variable(name: SettingName): string {
  return `OCTAVO_${fileKey(name).replaceAll('-', '_').toUpperCase()}`
}
