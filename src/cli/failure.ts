import { UsageError } from '../config.js'
import { BackendError } from '../engine/backend.js'
import { ModelFileError } from '../models/download.js'
import { ModelUnavailableError } from '../models/types.js'

/** What the person who started the server is told, and the exit code: 2 for a wrong call, 1 for anything else. */
export function describeFailure(error: unknown): { line: string; exitCode: number } {
  if (error instanceof UsageError) return { line: error.message, exitCode: 2 }
  const known = [ModelFileError, ModelUnavailableError, BackendError, ListenError, CacheFolderError]
  if (known.some(kind => error instanceof kind)) return { line: oneLine(error), exitCode: 1 }
  return { line: `unexpected failure: ${oneLine(error)}`, exitCode: 1 }
}

/** The server cannot have its address. */
export class ListenError extends Error {
  constructor(cause: unknown, host: string, port: number) {
    const { code, message } = cause as NodeJS.ErrnoException
    const reason: Record<string, string> = {
      EADDRINUSE: `port ${port} of ${host} is in use; choose another with --port`,
      EACCES: `port ${port} may not be used without more rights; choose one above 1023 with --port`,
      EADDRNOTAVAIL: `this machine has no address ${host}`,
      ENOTFOUND: `${host} is not an address of this machine`
    }
    super(reason[code ?? ''] ?? `cannot listen on ${host}, port ${port}: ${message}`)
    this.name = 'ListenError'
  }
}

/** The folder of the prefixes cannot be read, or changed. */
export class CacheFolderError extends Error {
  constructor(cause: unknown, folder: string) {
    const { code, path = folder } = cause as NodeJS.ErrnoException
    const reason: Record<string, string> = {
      EACCES: 'permission denied',
      EPERM: 'not permitted',
      EROFS: 'it is read-only',
      ENOTDIR: 'it is no folder'
    }
    super(`cannot use the cache at ${path}: ${reason[code ?? ''] ?? code}`, { cause })
    this.name = 'CacheFolderError'
  }
}

function oneLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.replace(/\s*\n\s*/g, ' ')
}
