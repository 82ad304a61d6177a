import { TextDecoder } from 'node:util'

/**
 * Joins the bytes of tokens into text: a character split over tokens comes out whole with its last byte; bytes that
 * can never become a character come out as U+FFFD, as the Encoding standard says.
 */
export class Utf8Assembler {
  private decoder: TextDecoder | null = null

  push(bytes: Uint8Array): string {
    if (this.decoder === null) {
      if (isAscii(bytes)) return asciiText(bytes)
      this.decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    }
    return this.decoder.decode(bytes, { stream: true })
  }

  /** The end of the text: an unfinished character becomes U+FFFD. */
  end(): string {
    return this.decoder?.decode() ?? ''
  }
}

function isAscii(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if ((bytes[i] as number) > 0x7f) return false
  return true
}

function asciiText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
