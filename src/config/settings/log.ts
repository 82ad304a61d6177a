import Type from 'typebox'
import { oneOf, setting } from '../setting.js'

export const logSettings = {
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
