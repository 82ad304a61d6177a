/** The flags that every benchmark has, and the servers they describe. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { packageRoot } from '../../src/root.js'
import { Prompts } from './prompts.js'
import type { Command } from './server.js'

export interface CommonOptions {
  /** Absolute path of llama-server; null: Octavo runs alone and no ratio is printed. */
  llamaServer: string | null
  octavo: string
  octavoArgs: string[]
  model: string
  runs: number
  threads: number
  ctxSize: number
  /** Names of the variants to run; empty: all. */
  only: string[]
  /** Salt of the prompts. */
  prompts: Prompts
  /** The command line, for the report. */
  commandLine: string
}

type Flags = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>

const common = {
  'llama-server': { type: 'string' },
  octavo: { type: 'string' },
  'octavo-args': { type: 'string' },
  model: { type: 'string' },
  runs: { type: 'string' },
  threads: { type: 'string' },
  'ctx-size': { type: 'string' },
  only: { type: 'string' },
  salt: { type: 'string' },
  help: { type: 'boolean' }
} satisfies Flags

const commonHelp = `  --llama-server PATH   the peer (or LLAMA_SERVER); without it Octavo runs alone
  --octavo PATH         cli.js of Octavo (default: the one in dist/)
  --octavo-args "..."   further flags for Octavo
  --model PATH          GGUF file (default: the one in models/)
  --runs N              rounds; in each round every server runs once
  --threads N           compute threads of both (default 1)
  --ctx-size N          cells of both
  --only A,B            only the variants whose name contains A or B
  --salt TEXT           repeat an earlier run's prompts (default: random)`

export interface OwnFlag {
  default: string
  help: string
}

/**
 * Reads the command line: the common flags, and `own` ones, which are numbers or texts.
 * Prints the help, or the mistake, and ends the process when there is nothing to run.
 */
export function readOptions<F extends Record<string, OwnFlag>>(
  purpose: string,
  own: F,
  defaults: { runs?: number; ctxSize?: number } = {}
): CommonOptions & { own: Record<keyof F, string>; number: (flag: keyof F) => number } {
  const flags: Flags = { ...common }
  for (const name of Object.keys(own)) flags[name] = { type: 'string' }
  let values: Record<string, unknown>
  try {
    values = parseArgs({ options: flags }).values as Record<string, unknown>
  } catch (error) {
    return refuse((error as Error).message)
  }
  if (values.help) {
    const lines = Object.entries(own).map(
      ([name, flag]) => `  --${`${name} X`.padEnd(19)} ${flag.help} (default ${flag.default || 'none'})`
    )
    console.log([purpose, '', ...lines, commonHelp].join('\n'))
    process.exit(0)
  }
  const text = (name: string, fallback: string) => (values[name] as string | undefined) ?? fallback
  const whole = (name: string, fallback: number) => {
    const value = Number(text(name, String(fallback)))
    return Number.isInteger(value) && value > 0 ? value : refuse(`--${name} needs a whole number above 0`)
  }
  const file = (given: string) => {
    const full = path.resolve(given)
    return existsSync(full) ? full : refuse(`there is no file ${full}`)
  }
  const peer = text('llama-server', process.env.LLAMA_SERVER ?? '')
  const ownValues = Object.fromEntries(
    Object.entries(own).map(([name, flag]) => [name, text(name, flag.default)])
  ) as Record<keyof F, string>
  return {
    llamaServer: peer === '' ? null : file(peer),
    octavo: path.resolve(text('octavo', path.join(packageRoot(), 'dist/src/cli.js'))),
    octavoArgs: text('octavo-args', '').split(/\s+/).filter(Boolean),
    model: file(text('model', path.join(packageRoot(), 'models/MiniMind2-Small-26M-q8_0.gguf'))),
    runs: whole('runs', defaults.runs ?? 5),
    threads: whole('threads', 1),
    ctxSize: whole('ctx-size', defaults.ctxSize ?? 32_768),
    only: text('only', '').split(',').filter(Boolean),
    prompts: new Prompts(text('salt', randomBytes(4).toString('hex'))),
    commandLine: process.argv.slice(2).join(' '),
    own: ownValues,
    number: flag => {
      const value = Number(ownValues[flag])
      return Number.isFinite(value) && value >= 0 ? value : refuse(`--${String(flag)} needs a number`)
    }
  }
}

function refuse(message: string): never {
  console.error(message)
  process.exit(2)
}

/**
 * Octavo with the common flags, then `args`, then what `--octavo-args` says. It keeps nothing on disk unless `args` name
 * a folder: a run must not find what an earlier one left, nor leave anything in the user's cache.
 */
export function octavoCommand(options: CommonOptions, name = 'octavo', args: string[] = []): Command {
  const disk =
    args.includes('--cache-dir') || !octavoKnows(options, '--cache-disk') ? [] : ['--cache-disk', '0']
  const quiet = ['--log-level', 'warn']
  const own = [...quiet, ...disk, ...args, ...options.octavoArgs]
  return { name, file: process.execPath, args: [options.octavo, 'serve', ...modelFlags(options), ...own] }
}

let octavoHelp: string | undefined

/** Whether this build of Octavo has a flag. */
export function octavoKnows(options: CommonOptions, flag: string): boolean {
  octavoHelp ??=
    spawnSync(process.execPath, [options.octavo, 'serve', '--help'], { encoding: 'utf8' }).stdout ?? ''
  return octavoHelp.includes(flag)
}

/** llama-server with the common flags, then `args`; null when none was given. */
export function peerCommand(options: CommonOptions, name: string, args: string[] = []): Command | null {
  if (options.llamaServer === null) return null
  return { name, file: options.llamaServer, args: [...modelFlags(options), ...args] }
}

function modelFlags(options: CommonOptions): string[] {
  return [
    '--model',
    options.model,
    '--ctx-size',
    String(options.ctxSize),
    '--threads',
    String(options.threads)
  ]
}

/** Leaves out what is not there and what `--only` does not name. @throws Error when nothing is left. */
export function chosen(options: CommonOptions, commands: Array<Command | null>): Command[] {
  const there = commands
    .filter(command => command !== null)
    .filter(command => options.only.length === 0 || options.only.some(part => command.name.includes(part)))
  if (there.length === 0) throw new Error('no server to run: see --only and --llama-server')
  return there
}
