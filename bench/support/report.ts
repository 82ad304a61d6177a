/** What a benchmark prints and leaves behind: how it was run, on what, the tables, and all figures as JSON. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { packageRoot, packageVersion } from '../../src/root.js'
import type { CommonOptions } from './options.js'
import type { Command } from './server.js'

export interface Environment {
  node: string
  platform: string
  cpu: string
  cores: number
  memoryGiB: number
  /** Of the last minute, before the benchmark began: figures taken on a busy machine are not worth much. */
  loadBefore: number
  octavo: string
  llamaServer: string | null
}

export class Report {
  readonly environment: Environment
  readonly #tables: string[] = []
  readonly #startedAt = new Date()

  /** Prints the head. */
  constructor(
    readonly name: string,
    readonly options: CommonOptions,
    readonly commands: Command[]
  ) {
    this.environment = environment(options)
    const { node, platform, cpu, cores, memoryGiB, loadBefore, octavo, llamaServer } = this.environment
    console.log(`# ${name}\n`)
    console.log(`Run as: ${name} ${options.commandLine || '(no flags)'}; salt ${options.prompts.salt}`)
    console.log(`On: ${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}, Node ${node}, load ${loadBefore}`)
    console.log(
      `Octavo ${octavo}; llama-server ${llamaServer ?? 'not given'}; model ${path.basename(options.model)}`
    )
    for (const command of commands) {
      const file = command.file === process.execPath ? '' : `${path.basename(command.file)} `
      console.log(`- ${command.name}: ${file}${shortened(command.args).join(' ')}`)
    }
    console.log('')
  }

  /** A line on how far it is; on stderr, so that stdout is the report. */
  progress(text: string): void {
    console.error(`  ${text}`)
  }

  print(text: string): void {
    this.#tables.push(text)
    console.log(`${text}\n`)
  }

  /** Writes `bench/results/NAME-TIME.json` with everything printed and `data`. */
  save(data: unknown): string {
    const folder = path.join(packageRoot(), 'bench/results')
    mkdirSync(folder, { recursive: true })
    const stamp = this.#startedAt.toISOString().replaceAll(':', '-').slice(0, 19)
    const file = path.join(folder, `${this.name}-${stamp}.json`)
    const { prompts, ...options } = this.options
    const content = {
      name: this.name,
      startedAt: this.#startedAt.toISOString(),
      seconds: (Date.now() - this.#startedAt.getTime()) / 1000,
      environment: this.environment,
      options: { ...options, salt: prompts.salt },
      commands: this.commands,
      tables: this.#tables,
      data
    }
    writeFileSync(file, JSON.stringify(content, null, 1))
    console.error(`  all figures: ${path.relative(process.cwd(), file)}`)
    return file
  }
}

/** Long paths say nothing in a report. */
function shortened(args: string[]): string[] {
  return args.map(arg => (path.isAbsolute(arg) ? path.basename(arg) : arg))
}

function environment(options: CommonOptions): Environment {
  const cpus = os.cpus()
  return {
    node: process.versions.node,
    platform: `${os.platform()} ${os.arch()}`,
    cpu: cpus[0]?.model.trim() ?? 'unknown processor',
    cores: cpus.length,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    loadBefore: Math.round(os.loadavg()[0]! * 100) / 100,
    octavo: `${packageVersion()} ${commit(path.dirname(options.octavo))}`.trim(),
    llamaServer: options.llamaServer === null ? null : peerVersion(options.llamaServer)
  }
}

/** Of the checkout that the measured build lies in; '' where there is none. */
function commit(folder: string): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore']
    }).trim()
  } catch {
    return ''
  }
}

function peerVersion(file: string): string {
  try {
    // The version is written to stderr.
    const output = execFileSync('sh', ['-c', '"$0" --version 2>&1', file], { encoding: 'utf8' })
    return /version: (.*)/.exec(output)?.[1]?.trim() ?? 'unknown version'
  } catch {
    return 'unknown version'
  }
}

/** Runs a benchmark; a failure is one message and status 1. */
export async function main(bench: () => Promise<void>): Promise<void> {
  try {
    await bench()
    process.exit(0)
  } catch (error) {
    console.error(error)
    process.exit(1)
  }
}
