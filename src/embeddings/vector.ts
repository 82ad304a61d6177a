/** Scales a vector to length 1, so that a dot product is the cosine similarity; a vector of zeros stays one. */
export function normalize(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector)
  return Float32Array.from(vector, value => (length === 0 ? 0 : value / length))
}

/** OpenAI's `encoding_format: base64`: 32-bit floats, little-endian. */
export function toBase64(vector: Float32Array): string {
  const bytes = Buffer.allocUnsafe(vector.length * 4)
  vector.forEach((value, index) => {
    bytes.writeFloatLE(value, index * 4)
  })
  return bytes.toString('base64')
}
