/** What llama_decode's result means, where it is not 0. */
export function decodeFailure(code: number, rows: number): string {
  if (code === -1) return `llama.cpp refused a batch of ${rows} rows as invalid`
  if (code === 2) return `a batch of ${rows} rows was aborted`
  return `llama.cpp failed to compute a batch of ${rows} rows (code ${code})`
}
