import type { Damage } from './format.js'

/**
 * What can go wrong with the disk. None of it is fatal: a read is a miss, a write is left out.
 * - damage (`foreign`, `version`, `truncated`, `checksum`, `malformed`): the file is removed
 * - `collision`: the file's tokens are others than those asked for
 * - `vanished`: the file, or its whole folder, was removed by somebody else
 * - `no_space`, `read_only`: writing pauses for a while
 * - `no_handles`: too many open files; the file is kept
 * - `worker`: the thread that does the work died
 * - `io`: anything else the system says; the file is kept
 */
export type FaultKind =
  | Damage
  | 'collision'
  | 'vanished'
  | 'no_space'
  | 'read_only'
  | 'no_handles'
  | 'worker'
  | 'io'

export const FAULT_KINDS: readonly FaultKind[] = [
  'foreign',
  'version',
  'truncated',
  'checksum',
  'malformed',
  'collision',
  'vanished',
  'no_space',
  'read_only',
  'no_handles',
  'worker',
  'io'
]

export interface Fault {
  kind: FaultKind
  /** File or folder; '' when it is not about one. */
  path: string
  message: string
}

const CODES: Record<string, FaultKind> = {
  ENOENT: 'vanished',
  ENOTDIR: 'vanished',
  ESTALE: 'vanished',
  ENOSPC: 'no_space',
  EDQUOT: 'no_space',
  EFBIG: 'no_space',
  EROFS: 'read_only',
  EACCES: 'read_only',
  EPERM: 'read_only',
  EMFILE: 'no_handles',
  ENFILE: 'no_handles',
  ELOOP: 'malformed'
}

/** The kind of a system error. */
export function faultKind(error: unknown): FaultKind {
  const code = (error as { code?: unknown } | null)?.code
  return (typeof code === 'string' && CODES[code]) || 'io'
}

export function isDamage(kind: FaultKind): kind is Damage {
  return ['foreign', 'version', 'truncated', 'checksum', 'malformed'].includes(kind)
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
