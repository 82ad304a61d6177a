/** Filling a gap between two texts, for models that were trained on it. */

/** The tokens in front of prefix, suffix and answer. All known models take them in this order. */
export interface InfillTokens {
  prefix: number
  suffix: number
  middle: number
}

/** How the families of models write them: Qwen and CodeGemma, StarCoder, DeepSeek, CodeLlama, GLM. */
export const infillSpellings: ReadonlyArray<Record<keyof InfillTokens, string>> = [
  { prefix: '<|fim_prefix|>', suffix: '<|fim_suffix|>', middle: '<|fim_middle|>' },
  { prefix: '<fim_prefix>', suffix: '<fim_suffix>', middle: '<fim_middle>' },
  { prefix: '<fim-prefix>', suffix: '<fim-suffix>', middle: '<fim-middle>' },
  { prefix: '<｜fim▁begin｜>', suffix: '<｜fim▁hole｜>', middle: '<｜fim▁end｜>' },
  { prefix: '▁<PRE>', suffix: '▁<SUF>', middle: '▁<MID>' },
  { prefix: '<PRE>', suffix: '<SUF>', middle: '<MID>' },
  { prefix: '<|code_prefix|>', suffix: '<|code_suffix|>', middle: '<|code_middle|>' }
]

/**
 * The model's infill tokens; null when it has none.
 * @param tokenize tokens of a text in which special tokens are read as such
 */
export async function findInfillTokens(
  tokenize: (text: string) => Promise<number[]>
): Promise<InfillTokens | null> {
  for (const { prefix, suffix, middle } of infillSpellings) {
    const tokens = await tokenize(prefix + suffix + middle)
    const [first, second, third] = tokens
    if (tokens.length !== 3 || new Set(tokens).size !== 3) continue
    return { prefix: first as number, suffix: second as number, middle: third as number }
  }
  return null
}
