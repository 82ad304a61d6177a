import type { GenerationRequest } from './messages.js'

/** One token, the most likely, after a prompt of nothing; nothing of it stays in the cache. What others say less of. */
export const plainRequest: GenerationRequest = {
  prompt: [],
  maxTokens: 1,
  choices: 1,
  sampling: {
    temperature: 0,
    topK: 0,
    topP: 1,
    minP: 0,
    repeatPenalty: 1,
    repeatLastN: 0,
    frequencyPenalty: 0,
    presencePenalty: 0,
    seed: 0,
    logitBias: []
  },
  stop: [],
  ignoreEndOfText: false,
  emitSpecial: false,
  logprobs: null,
  constraint: null,
  cachePrompt: false,
  salt: '',
  tenant: '',
  priority: 0,
  reproducible: false,
  deadlines: { queue: null, firstToken: null, total: null }
}
