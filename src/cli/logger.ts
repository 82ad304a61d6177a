import { type Logger, pino } from 'pino'
import { build } from 'pino-pretty'
import type { Config } from '../config.js'

export interface ServerLogger {
  logger: Logger
  /** Whether people read it: then the banner is text, else a log record. */
  pretty: boolean
}

/** Logs go to standard output. */
export function createLogger({ logFormat, logLevel }: Pick<Config, 'logFormat' | 'logLevel'>): ServerLogger {
  const terminal = process.stdout.isTTY === true
  const pretty = logFormat === 'pretty' || (logFormat === 'auto' && terminal)
  if (!pretty)
    return { logger: pino({ level: logLevel, base: undefined }, pino.destination({ sync: true })), pretty }
  const stream = build({
    colorize: terminal,
    ignore: 'pid,hostname,reqId',
    translateTime: 'HH:MM:ss',
    sync: true,
    singleLine: true
  })
  return { logger: pino({ level: logLevel, base: undefined }, stream), pretty }
}
