import { didYouMean } from '../config/suggest.js'
import { packageVersion } from '../root.js'
import { describeFailure } from './failure.js'
import { cacheHelp, overview, serveHelp } from './help.js'

const helpFlags = ['--help', '-h']
const helps: Record<string, () => string> = { serve: serveHelp, cache: cacheHelp }

/** Runs the program. @returns its exit code: 0 done, 1 failed, 2 called wrongly */
export async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const [command, ...rest] = argv
  if (command === '--version') return print(packageVersion())
  if (command !== undefined && [...helpFlags, 'help'].includes(command)) {
    return print((helps[rest[0] ?? ''] ?? overview)())
  }
  const named = command !== undefined && !command.startsWith('-')
  if (named && !Object.hasOwn(helps, command)) {
    return complain(`unknown command "${command}"${didYouMean(command, [...Object.keys(helps), 'help'])}`, 2)
  }
  const name = named ? command : 'serve'
  const flags = named ? rest : argv
  if (flags.some(flag => helpFlags.includes(flag))) return print(helps[name]!())
  try {
    // Everything that a server needs takes half a second to load; the others do without.
    if (name === 'cache') return await (await import('./cache.js')).cache(flags, env)
    const { serve } = await import('./serve.js')
    return await serve(flags, env)
  } catch (error) {
    const { line, exitCode } = describeFailure(error)
    if (env.OCTAVO_LOG_LEVEL === 'debug' && error instanceof Error) process.stderr.write(`${error.stack}\n`)
    return complain(line, exitCode)
  }
}

function print(text: string): number {
  process.stdout.write(`${text}\n`)
  return 0
}

function complain(line: string, exitCode: number): number {
  process.stderr.write(`octavo: ${line}\n`)
  return exitCode
}
