/** The thread of `warmSlab`. */
import { workerData } from 'node:worker_threads'
import { touchPages } from './touch-pages.js'

touchPages(workerData as SharedArrayBuffer)
