import type { CachedTokens } from '../engine/messages.js'

/** Where a prompt's tokens came from that were not computed; `octavo_cache` in every usage object. */
export interface PrefixSource {
  /** Tokens that were still in the pool, that came from memory, and from disk. */
  resident: number
  ram: number
  disk: number
  /** Why there was no more, as docs/cache-store.md has it; null: there was nothing more to find. */
  miss: NonNullable<CachedTokens['miss']> | null
}

export function prefixSource({ resident, ram, disk, miss }: CachedTokens): PrefixSource {
  return { resident, ram, disk, miss: miss ?? null }
}

/** The same as a header's value: `resident=512; ram=0; disk=256; miss=new`. */
export function prefixSourceHeader({ resident, ram, disk, miss }: CachedTokens): string {
  const tokens = `resident=${resident}; ram=${ram}; disk=${disk}`
  return miss === undefined ? tokens : `${tokens}; miss=${miss}`
}
