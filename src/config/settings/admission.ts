import Type from 'typebox'
import { countOrNone, seconds, setting } from '../setting.js'

export const admissionSettings = {
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
  })
}
