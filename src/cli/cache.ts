import path from 'node:path'
import { createInterface } from 'node:readline/promises'
import { parseArgs } from 'node:util'
import Type from 'typebox'
import { readText } from '../config/values.js'
import { loadConfig, UsageError } from '../config.js'
import { isDamage } from '../engine/tiers/disk/faults.js'
import {
  clearStore,
  type FolderReport,
  listStore,
  type RemovalReport,
  trimStore,
  verifyStore
} from '../engine/tiers/maintenance.js'
import { prefixFolder } from './engine-config.js'
import { CacheFolderError } from './failure.js'
import { ProgressLine } from './progress.js'
import { age, columns, grouped, plural, size } from './units.js'

const flags = {
  'cache-dir': { type: 'string' },
  config: { type: 'string' },
  json: { type: 'boolean' },
  remove: { type: 'boolean' },
  to: { type: 'string' },
  model: { type: 'string' },
  yes: { type: 'boolean', short: 'y' }
} as const

type Flag = keyof typeof flags
type Values = Partial<Record<Flag, string | boolean>>

/** Flags of each command beside those that all have. */
const commands: Record<string, { own: Flag[]; run(folder: string, values: Values): Promise<number> }> = {
  list: { own: [], run: list },
  verify: { own: ['remove'], run: verify },
  trim: { own: ['to'], run: trim },
  clear: { own: ['model', 'yes'], run: clear }
}
const common: Flag[] = ['cache-dir', 'config', 'json']

/**
 * `octavo cache`: looks after the prefixes on disk, also while servers use them (docs/cache-store.md).
 * @returns the exit code: 1 when there is damage left
 * @throws UsageError, CacheFolderError
 */
export async function cache(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const [name, ...rest] = argv
  const command = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!command) {
    const names = Object.keys(commands).join(', ')
    throw new UsageError(
      name === undefined ? `cache: one of ${names}` : `cache ${name}: should be one of ${names}`
    )
  }
  const values = readFlags(rest, name!, [...common, ...command.own])
  const folder = prefixFolder(loadConfig(settingFlags(values), env))
  try {
    return await command.run(folder, values)
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException).syscall !== 'string') throw error
    throw new CacheFolderError(error, folder)
  }
}

function readFlags(argv: string[], command: string, allowed: readonly Flag[]): Values {
  try {
    const options = Object.fromEntries(allowed.map(flag => [flag, flags[flag]]))
    return parseArgs({ args: argv, options, strict: true }).values as Values
  } catch (error) {
    throw new UsageError(`cache ${command}: ${(error as Error).message.split('. ')[0]}`)
  }
}

/** The folder is found as the server finds it: flag, variable, config file. */
function settingFlags(values: Values): string[] {
  return (['cache-dir', 'config'] as const).flatMap(flag => {
    const value = values[flag]
    return typeof value === 'string' ? [`--${flag}`, value] : []
  })
}

async function list(folder: string, { json }: Values): Promise<number> {
  const models = listStore(folder)
  const { files: pieces, bytes } = total(models)
  const hits = models.reduce((sum, model) => sum + model.hits, 0)
  if (json) return printJson({ folder, pieces, bytes, models: models.map(describe) })
  if (models.length === 0) return print(`Nothing is stored in ${folder}`)
  const rows = models.map(model => [
    nameOf(model),
    shortName(model),
    grouped(model.pieces),
    size(model.bytes),
    grouped(model.hits),
    ago(model.newestUseMs),
    ago(model.oldestUseMs)
  ])
  const head = ['MODEL', 'FOLDER', 'PIECES', 'SIZE', 'HITS', 'LAST USED', 'LEAST RECENTLY']
  const sum = models.length > 1 ? [['total', '', grouped(pieces), size(bytes), grouped(hits), '', '']] : []
  print(`${folder}\n\n${columns([head, ...rows, ...sum], [2, 3, 4])}`)
  const temporary = models.reduce((files, model) => files + model.temporary, 0)
  if (temporary > 0)
    print(`\n${plural(temporary, 'file')} being written, or left behind by a server that was killed`)
  return 0
}

async function verify(folder: string, { json, remove }: Values): Promise<number> {
  const progress = new ProgressLine(process.stderr)
  const report = await verifyStore(folder, {
    remove: remove === true,
    onProgress: ({ files, totalFiles, bytes, totalBytes }) =>
      progress.show(
        'checking',
        totalBytes === 0 ? 1 : bytes / totalBytes,
        `${grouped(files)} of ${plural(totalFiles, 'piece')}, ${size(bytes)} of ${size(totalBytes)}`
      )
  }).finally(() => progress.clear())
  const damaged = report.damaged.map(file => ({ ...file, removed: remove === true && isDamage(file.kind) }))
  const left = damaged.filter(file => !file.removed)
  const exitCode = left.length > 0 ? 1 : 0
  if (json) return printJson({ folder, ...report, damaged }, exitCode)
  for (const file of damaged) {
    print(`${file.path}: ${file.kind}: ${file.message}${file.removed ? ' (removed)' : ''}`)
  }
  const found =
    damaged.length === 0
      ? 'no damage'
      : `${grouped(damaged.length)} damaged, ${grouped(damaged.length - left.length)} removed`
  print(`${plural(report.files, 'piece')} (${size(report.bytes)}) checked: ${found}`)
  if (left.some(file => isDamage(file.kind))) print('Remove them with: octavo cache verify --remove')
  return exitCode
}

const sizeSetting = {
  schema: Type.Integer({ minimum: 0 }),
  default: 0,
  group: 'Prefix cache' as const,
  help: '',
  bytes: true
}

async function trim(folder: string, { json, to }: Values): Promise<number> {
  if (typeof to !== 'string') throw new UsageError('cache trim: needs --to SIZE, e.g. --to 2g')
  const bytes = readText(sizeSetting, to, '--to') as number
  return tellRemoval(folder, await trimStore(folder, bytes), json)
}

async function clear(folder: string, { json, model, yes }: Values): Promise<number> {
  const all = listStore(folder)
  const chosen = typeof model === 'string' ? all.filter(one => answersTo(one, model)) : all
  if (typeof model === 'string' && chosen.length === 0) {
    const known = [...new Set(all.map(nameOf))].join(', ')
    throw new UsageError(`cache clear: nothing is stored of ${model}${known && `; there is ${known}`}`)
  }
  const { files, bytes } = total(chosen)
  const question = `Remove ${plural(files, 'piece')} (${size(bytes)}) from ${folder}?`
  if (files > 0 && yes !== true && !(await agreed(question))) return print('Nothing was removed')
  const removed = { files: 0, bytes: 0 }
  for (const one of chosen) {
    const report = await clearStore(folder, { folder: one.folder })
    removed.files += report.files
    removed.bytes += report.bytes
  }
  return tellRemoval(folder, removed, json)
}

/** By its name, or by (the beginning of) its folder's. */
function answersTo(report: FolderReport, wanted: string): boolean {
  const base = path.basename(report.folder)
  return (
    report.model?.toLowerCase() === wanted.toLowerCase() || (wanted.length > 9 && base.startsWith(wanted))
  )
}

/** Asks a person; a program has said what it wants. */
async function agreed(question: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return true
  const lines = createInterface({ input: process.stdin, output: process.stdout })
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `)).trim())
  } finally {
    lines.close()
  }
}

function tellRemoval(folder: string, removed: RemovalReport, json: Values['json']): number {
  const left = total(listStore(folder))
  if (json) return printJson({ folder, removed, left })
  return print(
    `${plural(removed.files, 'piece')} (${size(removed.bytes)}) removed, ${grouped(left.files)} (${size(left.bytes)}) left`
  )
}

function total(models: readonly FolderReport[]): RemovalReport {
  return models.reduce(
    (sum, model) => ({ files: sum.files + model.pieces, bytes: sum.bytes + model.bytes }),
    { files: 0, bytes: 0 }
  )
}

function describe({ folder, newestUseMs, oldestUseMs, ...rest }: FolderReport) {
  const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())
  return { folder: path.basename(folder), ...rest, newestUse: iso(newestUseMs), oldestUse: iso(oldestUseMs) }
}

function nameOf({ model }: FolderReport): string {
  return model ?? '(unknown)'
}

/** Enough of a folder's name to tell it from others, and for `--model`. */
function shortName({ folder }: FolderReport): string {
  return path.basename(folder).slice(0, 14)
}

function ago(ms: number | null): string {
  return ms === null ? '' : age(Date.now() - ms)
}

function print(text: string): number {
  process.stdout.write(`${text}\n`)
  return 0
}

function printJson(value: unknown, exitCode = 0): number {
  print(JSON.stringify(value, null, 2))
  return exitCode
}
