import Type from 'typebox'
import { count, countOrNone, seconds, setting, texts } from '../setting.js'

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

export const modelsSettings = {
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
  })
}
