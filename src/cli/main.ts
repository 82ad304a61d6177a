import { didYouMean } from '../config/suggest.js'
import { packageVersion } from '../root.js'
import { describeFailure } from './failure.js'
import { overview, serveHelp } from './help.js'

const helpFlags = ['--help', '-h']

/** Runs the program. @returns its exit code: 0 done, 1 failed, 2 called wrongly */
export async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const [command, ...rest] = argv
  if (command === '--version') return print(packageVersion())
  if (command !== undefined && [...helpFlags, 'help'].includes(command)) {
    return print(rest[0] === 'serve' ? serveHelp() : overview())
  }
  const named = command === 'serve'
  if (command !== undefined && !named && !command.startsWith('-')) {
    return complain(`unknown command "${command}"${didYouMean(command, ['serve', 'help'])}`, 2)
  }
  const flags = named ? rest : argv
  if (flags.some(flag => helpFlags.includes(flag))) return print(serveHelp())
  try {
    // Everything that a server needs takes half a second to load; help and version do without.
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
