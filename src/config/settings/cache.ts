import Type from 'typebox'
import { auto, countOrNone, setting } from '../setting.js'

export const cacheSettings = {
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
  })
}
