/**
 * Every setting of the server, defined once. The flag, the variable, the key in the config file, the help, the table in
 * `docs/configuration.md`, the validation and the type `Config` all come from here: a new setting is one entry.
 * Names and meanings are llama-server's wherever it has the setting.
 */
import Type, { type Static, type TSchema } from 'typebox'

export type Group = 'Model' | 'Memory and speed' | 'Prefix cache' | 'Admission' | 'HTTP' | 'Log'

export interface Setting<S extends TSchema = TSchema> {
  /** What a value may be. Flags and variables are text and are read as the first of number, boolean, text that fits. */
  schema: S
  default: Static<S>
  group: Group
  /** Stands for the value in the help; a switch (boolean) has none. */
  value?: string
  help: string
  /** Further flags beside `--` + the name. */
  flags?: string[]
  /** Other texts for a value, e.g. llama-server's -1 for automatic. */
  synonyms?: Record<string, Static<S>>
  /** A number of bytes: k, m and g may follow it. */
  bytes?: boolean
  /** A list whose texts may hold commas: only a repeated flag makes it longer. */
  whole?: boolean
  /** Text is read as JSON; says in words what it holds. */
  json?: string
  /** Where the file that gives the other settings is named; has no place in that file. */
  notInFile?: boolean
}

function setting<S extends TSchema>(definition: Setting<S>): Setting<S> {
  return definition
}

const auto = Type.Literal('auto')
const count = Type.Integer({ minimum: 1 })
const countOrNone = Type.Integer({ minimum: 0 })
const countOrAuto = Type.Union([count, auto])
const seconds = Type.Number({ minimum: 0, maximum: 86_400 })
const texts = Type.Array(Type.String({ minLength: 1 }))
const oneOf = <const T extends string[]>(...values: T) => Type.Enum<T>(values)

const cacheType = oneOf('f32', 'f16', 'bf16', 'q8_0', 'q5_1', 'q5_0', 'q4_1', 'q4_0', 'iq4_nl')

export const defaultModel = 'MiniMind2-Small-26M-q8_0.gguf'
export const defaultEmbeddingModel = 'all-MiniLM-L6-v2-q8_0.gguf'

const modelEntry = Type.Object(
  {
    model: Type.String({ minLength: 1 }),
    alias: Type.Optional(Type.Union([Type.String({ minLength: 1 }), texts])),
    'ctx-size': Type.Optional(countOrNone),
    parallel: Type.Optional(count),
    ttl: Type.Optional(seconds),
    pinned: Type.Optional(Type.Boolean())
  },
  { additionalProperties: false }
)

export const settings = {
  model: setting({
    schema: texts,
    default: [],
    group: 'Model',
    value: 'MODEL',
    flags: ['-m'],
    whole: true,
    help: 'A GGUF file, hf:owner/repo:quant (Hugging Face) or an https URL. What is not here yet is downloaded once, with resume, into the cache folder of the user. Given several times: several models, the first is the default. Without it: the small model that comes with the package.'
  }),
  alias: setting({
    schema: texts,
    default: [],
    group: 'Model',
    value: 'NAME',
    flags: ['-a'],
    help: 'Name of the (first) model in the API, otherwise that of the file. Further names, separated by commas, work too; * answers to any name.'
  }),
  embeddingModel: setting({
    schema: Type.String({ minLength: 1 }),
    default: defaultEmbeddingModel,
    group: 'Model',
    value: 'MODEL',
    help: 'Model for /v1/embeddings, or a reranking model for /v1/rerank: named like --model, loaded on first use in a process of its own. Without it: the small one that comes with the package; none: no such model.'
  }),
  modelsDir: setting({
    schema: Type.String(),
    default: '',
    group: 'Model',
    value: 'FOLDER',
    help: 'Serve every GGUF file of this folder and its subfolders, each loaded when it is asked for.'
  }),
  models: setting({
    schema: Type.Array(modelEntry),
    default: [],
    group: 'Model',
    value: 'JSON',
    json: 'a JSON array of objects with model, and optionally alias, ctx-size, parallel, ttl, pinned',
    help: 'Models with settings of their own: [{ "model": "x.gguf", "alias": ["a"], "ctx-size": 8192, "parallel": 4, "ttl": 60, "pinned": true }]. Meant for the config file.'
  }),
  preload: setting({
    schema: texts,
    default: [],
    group: 'Model',
    value: 'NAME',
    help: 'Models loaded at start, separated by commas; none: none of them. Otherwise the default model is. The others are loaded when somebody asks for them.'
  }),
  memoryBudget: setting({
    schema: countOrNone,
    default: 0,
    group: 'Model',
    value: 'BYTES',
    bytes: true,
    help: 'Memory that all loaded models together may take. When it is full, the least recently used one that is not in use makes room. 0: what the machine can spare at start.'
  }),
  ttl: setting({
    schema: seconds,
    default: 600,
    group: 'Model',
    value: 'SECONDS',
    help: 'Unload a model that was loaded at start after being idle for so long; it comes back when somebody asks. 0: never.'
  }),
  onDemandTtl: setting({
    schema: seconds,
    default: 300,
    group: 'Model',
    value: 'SECONDS',
    help: 'The same for models that were loaded because a request asked for them.'
  }),
  loadTimeout: setting({
    schema: Type.Number({ minimum: 0.1, maximum: 86_400 }),
    default: 120,
    group: 'Model',
    value: 'SECONDS',
    help: 'How long a request waits for its model to be loaded.'
  }),
  warmup: setting({
    schema: Type.String(),
    default: '',
    group: 'Model',
    value: 'FILE',
    help: 'JSON file with prompts to compute at start, so that they are cached: { "messages": [...] } or { "prompt": "..." }, with "model" for another than the default; or an array of these.'
  }),
  stepTimeout: setting({
    schema: seconds,
    default: 120,
    group: 'Model',
    value: 'SECONDS',
    help: 'An engine process stuck in one step for longer is ended and started again; 0: no limit.'
  }),
  breakerFailures: setting({
    schema: count,
    default: 5,
    group: 'Model',
    value: 'N',
    help: 'After so many failures in a row nothing is started for a while, and requests are refused at once.'
  }),
  breakerOpen: setting({
    schema: Type.Number({ minimum: 0.1, maximum: 86_400 }),
    default: 60,
    group: 'Model',
    value: 'SECONDS',
    help: 'How long that while is; then one start is tried.'
  }),

  ctxSize: setting({
    schema: Type.Union([countOrNone, auto]),
    default: 'auto',
    group: 'Memory and speed',
    value: 'N',
    flags: ['-c'],
    help: "Cells (tokens) of the pool that all requests share. One request may use as much of it as the model was trained for. auto: what the machine's free memory allows, within reason; 0: the model's training context."
  }),
  parallel: setting({
    schema: countOrAuto,
    default: 'auto',
    group: 'Memory and speed',
    value: 'N',
    flags: ['-np'],
    synonyms: { '-1': 'auto' },
    help: 'Most streams that run at the same time; more wait in the queue. auto: 16, fewer where the pool is small.'
  }),
  batchSize: setting({
    schema: Type.Integer({ minimum: 32, maximum: 16_384 }),
    default: 512,
    group: 'Memory and speed',
    value: 'N',
    flags: ['-b'],
    help: 'Most tokens computed in one step, prompts and running streams together.'
  }),
  threads: setting({
    schema: Type.Union([Type.Integer({ minimum: 1, maximum: 512 }), auto]),
    default: 'auto',
    group: 'Memory and speed',
    value: 'N',
    flags: ['-t'],
    synonyms: { '-1': 'auto' },
    help: 'Threads that compute on the CPU. auto: performance cores minus one. More threads than free cores make it very slow.'
  }),
  gpuLayers: setting({
    schema: Type.Union([countOrNone, auto, Type.Literal('all')]),
    default: 'auto',
    group: 'Memory and speed',
    value: 'N',
    flags: ['-ngl', '--n-gpu-layers'],
    synonyms: { '-1': 'auto' },
    help: 'Layers of the model kept on the GPU: a number, auto (as many as fit) or all.'
  }),
  cacheTypeK: setting({
    schema: cacheType,
    default: 'f16',
    group: 'Memory and speed',
    value: 'TYPE',
    flags: ['-ctk'],
    help: 'Number format of the keys in the pool. q8_0 takes half the memory of f16, but makes prompts slower on a CPU.'
  }),
  cacheTypeV: setting({
    schema: cacheType,
    default: 'f16',
    group: 'Memory and speed',
    value: 'TYPE',
    flags: ['-ctv'],
    help: 'Number format of the values in the pool. Anything below f16 needs flash attention.'
  }),
  flashAttn: setting({
    schema: oneOf('auto', 'on', 'off'),
    default: 'auto',
    group: 'Memory and speed',
    value: 'on|off|auto',
    flags: ['-fa'],
    help: 'Flash attention.'
  }),
  loadMode: setting({
    schema: oneOf('auto', 'none', 'mmap', 'mlock', 'mmap+mlock'),
    default: 'auto',
    group: 'Memory and speed',
    value: 'MODE',
    flags: ['-lm'],
    help: 'How the weights are brought in: read into memory (none), or mapped. auto: read where they are computed on the CPU and take little of its memory, which is faster and survives a change of the file.'
  }),
  blockSize: setting({
    schema: Type.Integer({ minimum: 1, maximum: 4096 }),
    default: 64,
    group: 'Memory and speed',
    value: 'N',
    help: 'Tokens in a block, the unit in which the pool is reported.'
  }),
  reproducible: setting({
    schema: Type.Boolean(),
    default: false,
    group: 'Memory and speed',
    help: 'Compute every prompt in the same steps whether it is cached or not, so that equal requests get equal answers. Slower.'
  }),
  targetItl: setting({
    schema: Type.Integer({ minimum: 1, maximum: 60_000 }),
    default: 100,
    group: 'Memory and speed',
    value: 'MS',
    help: 'The gap between two tokens that steps are sized for while a long prompt is taken in beside running streams, milliseconds. Smaller: steadier streams, slower prompts.'
  }),

  cacheRam: setting({
    schema: Type.Union([countOrNone, auto]),
    default: 'auto',
    group: 'Prefix cache',
    value: 'MiB',
    help: 'Host memory for prefixes that left the pool, for each loaded model. auto: an eighth of the memory, at most 8 GiB, divided among the models (by four at most). Never more than the memory budget leaves beside the model. 0: none, and no disk either.'
  }),
  cacheDisk: setting({
    schema: Type.Union([countOrNone, auto]),
    default: 'auto',
    group: 'Prefix cache',
    value: 'MiB',
    help: 'Disk space for prefixes, all models together; they are there again after a restart. auto: a tenth of the free space, at most 10 GiB. 0: nothing is written.'
  }),
  cacheDir: setting({
    schema: Type.String(),
    default: '',
    group: 'Prefix cache',
    value: 'DIR',
    help: 'Folder of the prefixes on disk. Without it: the cache folder of the user.'
  }),
  cacheWriteBudget: setting({
    schema: countOrNone,
    default: 20_480,
    group: 'Prefix cache',
    value: 'MiB',
    help: 'Most that is written to disk in a day, for the sake of the SSD; 0: no limit.'
  }),

  maxQueue: setting({
    schema: countOrNone,
    default: 64,
    group: 'Admission',
    value: 'N',
    help: 'Most requests that wait for their turn. The next one gets status 429 with retry-after.'
  }),
  maxQueuedTokens: setting({
    schema: countOrNone,
    default: 0,
    group: 'Admission',
    value: 'N',
    help: 'Most prompt tokens that wait, all requests together; 0: no limit beside --max-queue.'
  }),
  queueTimeout: setting({
    schema: seconds,
    default: 0,
    group: 'Admission',
    value: 'SECONDS',
    help: 'A request that waits longer than this for its first step gets status 503; 0: no limit.'
  }),
  firstTokenTimeout: setting({
    schema: seconds,
    default: 0,
    group: 'Admission',
    value: 'SECONDS',
    help: 'A request that has no token after this time, queue included, gets status 504; 0: no limit.'
  }),
  requestTimeout: setting({
    schema: seconds,
    default: 0,
    group: 'Admission',
    value: 'SECONDS',
    help: 'An answer that is not finished after this time, queue included, ends with status 504; 0: no limit.'
  }),
  slowClientTimeout: setting({
    schema: seconds,
    default: 60,
    group: 'Admission',
    value: 'SECONDS',
    help: 'A stream whose client takes no data for this time is ended, and its cells are freed; 0: never.'
  }),
  rateLimit: setting({
    schema: countOrNone,
    default: 0,
    group: 'Admission',
    value: 'N',
    help: 'Most requests per minute of one API key (without keys: of one address); 0: no limit.'
  }),
  rateLimitRedis: setting({
    schema: Type.String(),
    default: '',
    group: 'Admission',
    value: 'URL',
    help: 'Redis that counts for --rate-limit, shared by several servers, e.g. redis://127.0.0.1:6379. Needs the npm package ioredis.'
  }),
  drainTimeout: setting({
    schema: seconds,
    default: 30,
    group: 'Admission',
    value: 'SECONDS',
    help: 'How long running answers may go on after SIGTERM or Ctrl-C. A second signal ends them at once.'
  }),

  host: setting({
    schema: Type.String({ minLength: 1 }),
    default: '127.0.0.1',
    group: 'HTTP',
    value: 'ADDRESS',
    help: 'Address to listen on. 0.0.0.0 lets the network in: then set --api-key too.'
  }),
  port: setting({
    schema: Type.Integer({ minimum: 0, maximum: 65_535 }),
    default: 8080,
    group: 'HTTP',
    value: 'PORT',
    help: 'Port to listen on; 0: any free one.'
  }),
  apiKey: setting({
    schema: texts,
    default: [],
    group: 'HTTP',
    value: 'KEY',
    help: 'Key that clients must send. May be given several times, or several keys separated by commas. Other users of the machine can read flags: OCTAVO_API_KEY or --api-key-file is safer.'
  }),
  apiKeyFile: setting({
    schema: Type.String(),
    default: '',
    group: 'HTTP',
    value: 'FILE',
    help: 'File with one key per line, beside those of --api-key.'
  }),
  adminKey: setting({
    schema: Type.String(),
    default: '',
    group: 'HTTP',
    value: 'KEY',
    help: 'Key for the routes under /admin, sent like an API key. Without it they answer to the local machine only.'
  }),
  corsOrigin: setting({
    schema: texts,
    default: [],
    group: 'HTTP',
    value: 'ORIGIN',
    help: 'Web origins whose pages may call the server, separated by commas; * for all. None by default.'
  }),
  bodyLimit: setting({
    schema: Type.Integer({ minimum: 1024, maximum: 2 ** 30 }),
    default: 32 * 2 ** 20,
    group: 'HTTP',
    value: 'BYTES',
    bytes: true,
    help: 'Largest request body; 500k and 64m are understood.'
  }),
  keepAliveComments: setting({
    schema: seconds,
    default: 5,
    group: 'HTTP',
    value: 'SECONDS',
    help: 'While a stream waits for its first token, send a comment this often so that no proxy cuts it; 0: never.'
  }),

  metricsPrefix: setting({
    schema: Type.String({ pattern: '^[a-zA-Z_:][a-zA-Z0-9_:]*$' }),
    default: 'octavo_',
    group: 'HTTP',
    value: 'PREFIX',
    help: 'Begins the name of every metric of /metrics; with vllm: they fit dashboards made for vLLM.'
  }),

  logLevel: setting({
    schema: oneOf('silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'),
    default: 'info',
    group: 'Log',
    value: 'LEVEL',
    help: 'Least severe messages that are shown.'
  }),
  logPrompts: setting({
    schema: Type.Boolean(),
    default: false,
    group: 'Log',
    help: 'Log what requests ask (their bodies, the first 32,000 characters), for looking into a client. Never answers, never keys.'
  }),
  logFormat: setting({
    schema: oneOf('auto', 'pretty', 'json'),
    default: 'auto',
    group: 'Log',
    value: 'FORMAT',
    help: 'For people, or one JSON object per line for programs. auto: pretty on a terminal.'
  }),
  logFile: setting({
    schema: Type.String(),
    default: '',
    group: 'Log',
    value: 'FILE',
    help: 'Write the log as JSON to this file as well: a new one (FILE.1, FILE.2, ...) every day and every 50 MB, seven are kept.'
  }),
  config: setting({
    schema: Type.String(),
    default: '',
    group: 'Log',
    value: 'FILE',
    notInFile: true,
    help: 'JSON file with settings: an object whose keys are the flags without dashes, e.g. { "ctx-size": 16384 }.'
  })
}

export type SettingName = keyof typeof settings

export const settingNames = Object.keys(settings) as SettingName[]

/** `ctxSize` is `ctx-size` in the config file, `--ctx-size` as a flag and `OCTAVO_CTX_SIZE` in the environment. */
export function fileKey(name: SettingName): string {
  return name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}

export function longFlag(name: SettingName): string {
  return `--${fileKey(name)}`
}

export function variable(name: SettingName): string {
  return `OCTAVO_${fileKey(name).replaceAll('-', '_').toUpperCase()}`
}
