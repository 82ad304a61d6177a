export interface RouteWords {
  summary: string
  tag: 'OpenAI' | 'Anthropic' | 'llama-server' | 'Operation'
  /** Answers with events when the body asks for it. */
  streams?: boolean
}

/** By method and path. */
export const routeWords: Record<string, RouteWords> = {
  'POST /v1/chat/completions': { summary: 'Answer in a conversation', tag: 'OpenAI', streams: true },
  'POST /v1/completions': { summary: 'Go on from a text', tag: 'OpenAI', streams: true },
  'POST /v1/responses': {
    summary: 'Answer in a conversation that the server keeps',
    tag: 'OpenAI',
    streams: true
  },
  'POST /v1/responses/input_tokens': { summary: 'Count the tokens of a conversation', tag: 'OpenAI' },
  'GET /v1/responses/:id': { summary: 'An answer that was kept', tag: 'OpenAI' },
  'DELETE /v1/responses/:id': { summary: 'Forget an answer', tag: 'OpenAI' },
  'GET /v1/responses/:id/input_items': { summary: 'What an answer was given to', tag: 'OpenAI' },
  'POST /v1/embeddings': { summary: 'Turn texts into vectors', tag: 'OpenAI' },
  'POST /v1/rerank': { summary: 'Order documents by relevance', tag: 'OpenAI' },
  'POST /v1/reranking': { summary: 'The same as /v1/rerank', tag: 'OpenAI' },
  'GET /v1/models': { summary: 'What can be asked for', tag: 'OpenAI' },
  'GET /v1/models/:id': { summary: 'One model', tag: 'OpenAI' },
  'POST /v1/models/:id/warmup': { summary: 'Compute a prefix before it is needed', tag: 'Operation' },
  'POST /v1/messages': { summary: 'Answer in a conversation', tag: 'Anthropic', streams: true },
  'POST /v1/messages/count_tokens': { summary: 'Count the tokens of a conversation', tag: 'Anthropic' },
  'POST /tokenize': { summary: 'Text to tokens', tag: 'llama-server' },
  'POST /detokenize': { summary: 'Tokens to text', tag: 'llama-server' },
  'POST /apply-template': { summary: "A conversation as the model's own text", tag: 'llama-server' },
  'GET /props': { summary: 'The model and its defaults', tag: 'llama-server' },
  'GET /health': {
    summary: 'Whether a request would be taken now, with a word on each model',
    tag: 'Operation'
  },
  'GET /health/live': { summary: 'The process answers', tag: 'Operation' },
  'GET /health/ready': { summary: 'A request would be taken now', tag: 'Operation' },
  'GET /health/startup': { summary: 'The default model has been ready once', tag: 'Operation' },
  'GET /metrics': { summary: 'Figures for Prometheus', tag: 'Operation' },
  'GET /stats': { summary: 'The same figures as JSON', tag: 'Operation' },
  'GET /admin/models': { summary: 'Every model and its state', tag: 'Operation' },
  'GET /admin/models/current': { summary: 'The default model', tag: 'Operation' },
  'POST /admin/models/load': { summary: 'Load a model', tag: 'Operation' },
  'POST /admin/models/unload': { summary: 'Unload a model', tag: 'Operation' },
  'POST /admin/models/swap': { summary: 'Put another model in the place of one', tag: 'Operation' },
  'DELETE /admin/caches': { summary: 'Forget cached prefixes', tag: 'Operation' },
  'POST /admin/drain': { summary: 'Take no more work, and finish what runs', tag: 'Operation' }
}
