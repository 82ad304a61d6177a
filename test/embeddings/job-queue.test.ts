import t from 'tap'
import { type Job, JobQueue } from '../../src/embeddings/job-queue.js'

function job(id: number, parts: number, log: string[]): Job {
  let done = 0
  return {
    id,
    async step() {
      done += 1
      log.push(`${id}.${done}`)
      await new Promise(setImmediate)
      return done === parts
    }
  }
}

const idle = () => new Promise(resolve => setTimeout(resolve, 50))

t.test('jobs take turns', async t => {
  const log: string[] = []
  const queue = new JobQueue(() => {})
  queue.add(job(1, 3, log))
  queue.add(job(2, 1, log))
  queue.add(job(3, 2, log))
  await idle()
  t.strictSame(log, ['1.1', '2.1', '3.1', '1.2', '3.2', '1.3'])
})

t.test('a cancelled job does not go on, whether it runs or waits', async t => {
  const log: string[] = []
  const queue = new JobQueue(() => {})
  queue.add(job(1, 5, log))
  queue.add(job(2, 5, log))
  queue.cancel(1)
  queue.cancel(2)
  await idle()
  t.strictSame(log, ['1.1'])
  queue.add(job(1, 2, log))
  await idle()
  t.strictSame(log, ['1.1', '1.1', '1.2'], 'the same id may come again')
})

t.test('a job that throws is over, the others go on', async t => {
  const log: string[] = []
  const errors: number[] = []
  const queue = new JobQueue(({ id }) => errors.push(id))
  queue.add({ id: 1, step: () => Promise.reject(new Error('no')) })
  queue.add(job(2, 2, log))
  await idle()
  t.strictSame([errors, log], [[1], ['2.1', '2.2']])
})
