import Type from 'typebox'
import { seconds, setting, texts } from '../setting.js'

export const httpSettings = {
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
  })
}
