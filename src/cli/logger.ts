import { accessSync, constants } from 'node:fs'
import path from 'node:path'
import { type DestinationStream, type Logger, multistream, pino } from 'pino'
import { build } from 'pino-pretty'
import roll from 'pino-roll'
import { type Config, UsageError } from '../config.js'

export interface ServerLogger {
  logger: Logger
  /** Whether people read it: then the banner is text, else a log record. */
  pretty: boolean
  /** Ends the log file, if there is one. */
  close(): void
}

/** Logs go to standard output, and to the file of --log-file. @throws UsageError when that cannot be written */
export async function createLogger({
  logFormat,
  logLevel,
  logFile
}: Pick<Config, 'logFormat' | 'logLevel' | 'logFile'>): Promise<ServerLogger> {
  const terminal = process.stdout.isTTY === true
  const pretty = logFormat === 'pretty' || (logFormat === 'auto' && terminal)
  const shown: DestinationStream = pretty
    ? build({
        colorize: terminal,
        ignore: 'pid,hostname,reqId',
        translateTime: 'HH:MM:ss',
        sync: true,
        singleLine: true
      })
    : pino.destination({ sync: true })
  const options = { level: logLevel, base: undefined }
  if (logFile === '') return { logger: pino(options, shown), pretty, close: () => {} }
  const file = await openFile(logFile)
  const both = multistream([shown, file].map(stream => ({ stream, level: 'trace' as const })))
  return { logger: pino(options, both), pretty, close: () => file.end() }
}

/** A new file every day and every 50 MB; seven old ones are kept, those of earlier runs included. */
async function openFile(name: string) {
  try {
    accessSync(path.dirname(path.resolve(name)), constants.W_OK)
    const limit = { count: 7, removeOtherLogFiles: true }
    const file = await roll({ file: name, size: '50m', frequency: 'daily', sync: true, limit })
    // A full disk must not end the server; standard output has the log as well.
    file.on('error', () => {})
    return file
  } catch (error) {
    throw new UsageError(`--log-file: cannot write ${name} (${(error as NodeJS.ErrnoException).code})`)
  }
}
