import t from 'tap'
import { itemsToMessages } from '../../src/protocol/openai/responses/items.js'
import { newResponse } from '../../src/protocol/openai/responses/object.js'
import type { InputItem } from '../../src/protocol/openai/responses/schema.js'
import { ResponseStore } from '../../src/protocol/openai/responses/store.js'

const stored = (id: string, text = 'x') => {
  const input = [{ id: `msg_${id}`, role: 'user' as const, content: text }]
  return { response: newResponse({}, id, 'm'), input, conversation: input }
}

t.test('bounded in number: the least recently used go first', async t => {
  const store = new ResponseStore({ responses: 3, size: 1e6 })
  for (const id of ['a', 'b', 'c']) store.add('me', stored(id))
  t.ok(store.find('me', 'a'))
  store.add('me', stored('d'))
  t.equal(store.count, 3)
  t.notOk(store.find('me', 'b'))
  t.ok(store.find('me', 'a'))
  t.notOk(store.findItem('me', 'msg_b'), 'its items are gone with it')
  t.match(store.findItem('me', 'msg_a'), { content: 'x' })
})

t.test('bounded in size', async t => {
  const store = new ResponseStore({ responses: 100, size: 20_000 })
  for (let i = 0; i < 20; i += 1) store.add('me', stored(`r${i}`, 'x'.repeat(3000)))
  t.ok(store.count >= 3 && store.count < 7, String(store.count))
  t.ok(store.find('me', 'r19'))
  store.add('me', stored('huge', 'x'.repeat(50_000)))
  t.equal(store.count, 0, 'what is larger than the store is not kept')
})

t.test("nobody finds, deletes or refers to another one's", async t => {
  const store = new ResponseStore()
  store.add('me', stored('a'))
  t.notOk(store.find('you', 'a'))
  t.notOk(store.findItem('you', 'msg_a'))
  t.equal(store.delete('you', 'a'), false)
  t.equal(store.delete('me', 'a'), true)
  t.equal(store.delete('me', 'a'), false)
  t.equal(store.count, 0)
})

t.test('items become turns again: thinking, text and calls of one answer are one message', async t => {
  const items: InputItem[] = [
    { role: 'developer', content: 'a' },
    { role: 'system', content: [{ type: 'input_text', text: 'b' }] },
    { role: 'user', content: 'q' },
    { type: 'reasoning', id: 'rs', summary: [], content: [{ text: 'hm' }] },
    { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'I look.' }] },
    { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{"b":1,"a":2}' },
    { type: 'function_call', call_id: 'c2', name: 'g', arguments: '' },
    { type: 'function_call_output', call_id: 'c1', output: 'r1' },
    { type: 'function_call_output', call_id: 'c2', output: [{ type: 'input_text', text: 'r2' }] },
    { type: 'reasoning', id: 'rs', summary: [], encrypted_content: Buffer.from('ok').toString('base64') },
    { role: 'assistant', content: 'Done.' },
    { role: 'assistant', content: 'Really.' }
  ]
  t.strictSame(itemsToMessages(items), [
    { role: 'system', content: 'a\n\nb' },
    { role: 'user', content: 'q' },
    {
      role: 'assistant',
      content: 'I look.',
      reasoning_content: 'hm',
      tool_calls: [
        { id: 'c1', type: 'function', function: { name: 'f', arguments: { b: 1, a: 2 } } },
        { id: 'c2', type: 'function', function: { name: 'g', arguments: {} } }
      ]
    },
    { role: 'tool', tool_call_id: 'c1', content: 'r1' },
    { role: 'tool', tool_call_id: 'c2', content: 'r2' },
    { role: 'assistant', content: 'Done.', reasoning_content: 'ok' },
    { role: 'assistant', content: 'Really.' }
  ])
})
