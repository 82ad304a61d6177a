import t from 'tap'
import { downloadDetail, ProgressLine } from '../../src/cli/progress.js'

function stream(isTTY: boolean, columns = 80) {
  let text = ''
  const write = (part: string) => {
    text += part
    return true
  }
  return { stream: { isTTY, columns, write } as unknown as NodeJS.WriteStream, text: () => text }
}

t.test('on a terminal one line is rewritten, and taken away at the end', async t => {
  const { stream: terminal, text } = stream(true)
  const line = new ProgressLine(terminal)
  line.show('loading a', 0.5)
  line.show('loading a', 0.501)
  line.show('loading a', 1, 'done')
  line.clear()
  line.clear()
  t.same(text().split('\r\u001b[K'), [
    '',
    'loading a [##########..........] 50 %',
    'loading a [####################] 100 %, done',
    ''
  ])
})

t.test('a narrow terminal is not overrun', async t => {
  const { stream: terminal, text } = stream(true, 30)
  new ProgressLine(terminal).show('downloading a-very-long-name.gguf', 0.5)
  t.equal(text().replace('\r\u001b[K', '').length, 29)
})

t.test('elsewhere there is a plain line at the start and at each quarter', async t => {
  const { stream: pipe, text } = stream(false)
  const line = new ProgressLine(pipe)
  for (let step = 0; step <= 100; step++) line.show('loading a', step / 100)
  line.clear()
  t.equal(text(), 'loading a: 0 %\nloading a: 25 %\nloading a: 50 %\nloading a: 75 %\nloading a: 100 %\n')
})

t.test('what is downloaded, and how long it takes yet', async t => {
  const step = { file: 'a', downloadedBytes: 1.23e9, totalBytes: 4.9e9, secondsLeft: 40.2 }
  t.equal(downloadDetail(step), '1.2 of 4.9 GB, 41 s left')
  t.equal(downloadDetail({ ...step, secondsLeft: 600 }), '1.2 of 4.9 GB, 10 min left')
  t.equal(downloadDetail({ ...step, secondsLeft: Number.POSITIVE_INFINITY }), '1.2 of 4.9 GB')
  t.equal(downloadDetail({ ...step, downloadedBytes: 5e6, totalBytes: 31e6 }), '5.0 of 31.0 MB, 41 s left')
})
