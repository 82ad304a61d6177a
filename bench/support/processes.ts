import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

export interface ProcessMemory {
  pid: number
  parent: number
  /** Resident bytes. */
  rss: number
}

/** The process `root` first, then everything below it. Empty when it has ended. */
export async function memoryOfTree(root: number): Promise<ProcessMemory[]> {
  const all = process.platform === 'linux' ? await fromProc() : await fromPs()
  const tree = all.filter(one => one.pid === root)
  for (let i = 0; i < tree.length; i++) {
    for (const one of all) if (one.parent === tree[i]!.pid) tree.push(one)
  }
  return tree
}

async function fromProc(): Promise<ProcessMemory[]> {
  const all: ProcessMemory[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const status = await readFile(`/proc/${name}/status`, 'utf8').catch(() => '')
    const parent = /^PPid:\s+(\d+)/m.exec(status)?.[1]
    const kilobytes = /^VmRSS:\s+(\d+)/m.exec(status)?.[1]
    if (parent && kilobytes) {
      all.push({ pid: Number(name), parent: Number(parent), rss: Number(kilobytes) * 1024 })
    }
  }
  return all
}

async function fromPs(): Promise<ProcessMemory[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,rss='])
  return stdout
    .split('\n')
    .map(line => line.trim().split(/\s+/).map(Number))
    .filter(fields => fields.length === 3)
    .map(([pid, parent, kilobytes]) => ({ pid: pid!, parent: parent!, rss: kilobytes! * 1024 }))
}

/** Clock ticks per second of the times in /proc: 100 on every Linux that Node runs on. */
const TICKS = 100

/**
 * Processor time that the process `root` and those below it have taken so far, milliseconds; NaN where there is no /proc.
 * Unlike elapsed time it hardly depends on what else the machine does.
 */
export async function processorMsOfTree(root: number): Promise<number> {
  if (process.platform !== 'linux') return Number.NaN
  let ticks = 0
  for (const { pid } of await memoryOfTree(root)) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    // Behind the name, which may hold blanks: state is field 3, user and system time are 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
  }
  return (ticks * 1000) / TICKS
}
