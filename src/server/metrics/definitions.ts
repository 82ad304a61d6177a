/**
 * Every metric of `/metrics`, defined once. `docs/metrics.md` has a line for each; a test compares the two.
 *
 * Words are vLLM's where it has the metric, so that its dashboards need only another prefix.
 */

export interface Definition {
  type: 'counter' | 'gauge' | 'histogram'
  help: string
  labels: readonly string[]
  /** Upper bounds of a histogram. */
  buckets?: readonly number[]
  /** vLLM has a metric of this name and meaning. */
  vllm?: true
  /** A name that every exporter uses: stays without prefix. */
  plain?: true
}

/** Seconds; vLLM's bounds for the time to first token, with finer ones below for small models. */
const waits = [
  0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
  160
]
/** Seconds; gaps between tokens. */
const gaps = [0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5]
/** Seconds; whole requests and their phases. */
const durations = [
  0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 20, 30, 60, 120, 240, 480
]
const tokens = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000
]
const loads = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 240]

const model = ['model_name'] as const

export const definitions = {
  http_requests_total: {
    type: 'counter',
    help: 'Answered HTTP requests. status 499: the connection ended before the answer did.',
    labels: ['model_name', 'route', 'method', 'status']
  },
  errors_total: {
    type: 'counter',
    help: 'Errors told to clients, in mid-stream too, by code of docs/errors.md.',
    labels: ['kind']
  },
  request_success_total: {
    type: 'counter',
    help: 'Finished answers (choices), by finish reason.',
    labels: ['model_name', 'finished_reason'],
    vllm: true
  },
  requests_rejected_total: {
    type: 'counter',
    help: 'Requests that the engine refused on arrival, by reason.',
    labels: ['model_name', 'reason']
  },
  requests_cancelled_total: {
    type: 'counter',
    help: 'Admitted requests that ended because nobody waits for their answer any more.',
    labels: model
  },
  idempotent_joins_total: {
    type: 'counter',
    help: 'Requests that joined an identical one instead of being computed again.',
    labels: []
  },
  slow_clients_total: {
    type: 'counter',
    help: 'Connections ended because the client took no data for too long.',
    labels: []
  },

  num_requests_running: {
    type: 'gauge',
    help: 'Streams that hold cells and are computed.',
    labels: model,
    vllm: true
  },
  num_requests_waiting: {
    type: 'gauge',
    help: 'Streams that wait for their turn.',
    labels: model,
    vllm: true
  },
  waiting_prompt_tokens: { type: 'gauge', help: 'Prompt tokens of waiting streams.', labels: model },

  prompt_tokens_total: {
    type: 'counter',
    help: 'Prompt tokens of computed requests, cached ones included: the sum of usage.prompt_tokens.',
    labels: model,
    vllm: true
  },
  generation_tokens_total: {
    type: 'counter',
    help: 'Generated tokens: the sum of usage.completion_tokens, and those of requests that ended early.',
    labels: model,
    vllm: true
  },
  embedding_tokens_total: {
    type: 'counter',
    help: 'Tokens of texts that were turned into vectors or ranked, special ones included.',
    labels: model
  },
  prompt_tokens_computed_total: {
    type: 'counter',
    help: 'Prompt tokens that the engine computed, recomputation after preemption included.',
    labels: model
  },

  kv_cache_usage_perc: {
    type: 'gauge',
    help: 'Part of the pool that running streams hold; 1 is all of it. Idle cached prefixes do not count.',
    labels: model,
    vllm: true
  },
  kv_cache_blocks: { type: 'gauge', help: 'Blocks of the pool.', labels: model },
  kv_cache_used_blocks: {
    type: 'gauge',
    help: 'Blocks that hold something: running streams, and idle cached prefixes.',
    labels: model
  },
  kv_cache_idle_blocks: {
    type: 'gauge',
    help: 'Of the used blocks, those that only keep a cached prefix and can be evicted.',
    labels: model
  },
  kv_cache_sequence_ids_used: {
    type: 'gauge',
    help: 'Sequence ids in use, by streams and by cached prefixes.',
    labels: model
  },
  num_preemptions_total: {
    type: 'counter',
    help: 'Running streams that had to give up their cells and wait.',
    labels: model,
    vllm: true
  },
  kv_cache_evicted_tokens_total: {
    type: 'counter',
    help: 'Tokens of cached prefixes evicted from the pool.',
    labels: model
  },
  prefix_cache_queries_total: {
    type: 'counter',
    help: 'Prompt tokens that were looked up in the cache.',
    labels: model,
    vllm: true
  },
  prefix_cache_hits_total: {
    type: 'counter',
    help: 'Prompt tokens that were found in the cache, in any tier.',
    labels: model,
    vllm: true
  },
  prefix_cache_tier_hits_total: {
    type: 'counter',
    help: 'Prompt tokens that were found in the cache, by the tier they came from.',
    labels: ['model_name', 'tier']
  },
  prefix_cache_misses_total: {
    type: 'counter',
    help: 'Requests of which something was not cached although it could have been, by reason.',
    labels: ['model_name', 'reason']
  },
  cache_tier_bytes: {
    type: 'gauge',
    help: 'Bytes that a tier below the pool holds.',
    labels: ['model_name', 'tier']
  },
  cache_spilled_bytes_total: {
    type: 'counter',
    help: 'Bytes written into a tier below the pool.',
    labels: ['model_name', 'tier']
  },
  cache_restored_bytes_total: {
    type: 'counter',
    help: 'Bytes read back from a tier below the pool.',
    labels: ['model_name', 'tier']
  },

  time_to_first_token_seconds: {
    type: 'histogram',
    help: 'From the arrival of the HTTP request, loading of a model included, to the first text.',
    labels: model,
    buckets: waits,
    vllm: true
  },
  inter_token_latency_seconds: {
    type: 'histogram',
    help: 'Gap between two pieces of text of one answer, as the server gets them from the engine.',
    labels: model,
    buckets: gaps,
    vllm: true
  },
  request_queue_time_seconds: {
    type: 'histogram',
    help: 'From arrival in the engine to the first step.',
    labels: model,
    buckets: waits,
    vllm: true
  },
  request_prefill_time_seconds: {
    type: 'histogram',
    help: 'From the first step to the last prompt token.',
    labels: model,
    buckets: durations,
    vllm: true
  },
  request_decode_time_seconds: {
    type: 'histogram',
    help: 'From the first token to the end.',
    labels: model,
    buckets: durations,
    vllm: true
  },
  e2e_request_latency_seconds: {
    type: 'histogram',
    help: 'From the arrival of the HTTP request to the end of the answer.',
    labels: model,
    buckets: durations,
    vllm: true
  },
  request_prompt_tokens: {
    type: 'histogram',
    help: 'Prompt tokens of a request.',
    labels: model,
    buckets: tokens,
    vllm: true
  },
  request_generation_tokens: {
    type: 'histogram',
    help: 'Generated tokens of a request, all choices together.',
    labels: model,
    buckets: tokens,
    vllm: true
  },
  step_time_seconds: {
    type: 'histogram',
    help: "Time of one step of the engine. The buckets are the engine's.",
    labels: model
  },

  models_loaded: { type: 'gauge', help: 'Models that are ready for requests.', labels: [] },
  model_loads_total: {
    type: 'counter',
    help: 'Attempts to load a model, by result: success, or code of the failure.',
    labels: ['model_name', 'result']
  },
  model_load_seconds: {
    type: 'histogram',
    help: 'Loads that ended in a working engine, from the start of its process.',
    labels: model,
    buckets: loads
  },
  model_verifications_total: {
    type: 'counter',
    help: 'Loaded models that were asked for one token before they take requests, by result.',
    labels: ['model_name', 'result']
  },
  model_verification_seconds: {
    type: 'histogram',
    help: 'Successful verifications.',
    labels: model,
    buckets: gaps
  },
  model_breaker_state: {
    type: 'gauge',
    help: 'Circuit breaker around the loads of a model: 1 for the state it is in (closed, open, half_open).',
    labels: ['model_name', 'state']
  },
  model_breaker_changes_total: {
    type: 'counter',
    help: 'How often the circuit breaker of a model went into a state.',
    labels: ['model_name', 'state']
  },
  model_state: {
    type: 'gauge',
    help: 'State of a model: 1 for the one it is in (unloaded, loading, ready, draining, failed).',
    labels: ['model_name', 'state']
  },
  model_state_changes_total: {
    type: 'counter',
    help: 'How often a model went into a state.',
    labels: ['model_name', 'state']
  },
  engine_restarts_total: {
    type: 'counter',
    help: 'Engine processes started again after one had ended unexpectedly.',
    labels: model
  },
  engine_resident_memory_bytes: {
    type: 'gauge',
    help: 'Resident memory of the engine process when it last reported.',
    labels: model
  },

  event_loop_lag_seconds: {
    type: 'gauge',
    help: 'Delay of the event loop of the server process since the last scrape.',
    labels: ['quantile']
  },
  process_resident_memory_bytes: {
    type: 'gauge',
    help: 'Resident memory of the server process.',
    labels: [],
    plain: true
  },
  process_start_time_seconds: {
    type: 'gauge',
    help: 'When the server process started, Unix time.',
    labels: [],
    plain: true
  }
} as const satisfies Record<string, Definition>

export type MetricName = keyof typeof definitions
type OfType<T extends Definition['type']> = {
  [Name in MetricName]: (typeof definitions)[Name]['type'] extends T ? Name : never
}[MetricName]
export type CounterName = OfType<'counter'>
export type GaugeName = OfType<'gauge'>
export type HistogramName = OfType<'histogram'>

export const metricNames = Object.keys(definitions) as MetricName[]

/** The table of `docs/metrics.md`, names without prefix. */
export function metricsTable(): string {
  const rows = metricNames.map(name => {
    const { type, help, labels, vllm, plain }: Definition = definitions[name]
    const marks = plain ? 'no prefix' : vllm ? 'yes' : ''
    const labelList = labels.map(label => `\`${label}\``).join(', ')
    return `| \`${name}\` | ${type} | ${labelList} | ${marks} | ${help} |`
  })
  return ['| Name | Type | Labels | vLLM | Meaning |', '|---|---|---|---|---|', ...rows].join('\n')
}
