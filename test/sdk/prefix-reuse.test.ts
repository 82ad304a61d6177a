/**
 * How much of what could be reused is reused when an agent's conversation goes on: ten turns, each with a tool call and
 * an answer, on the real engine, over all three protocols. Reusable is everything that the engine had computed for the
 * conversation before: the last prompt and what was generated for it.
 */
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import t, { type Test } from 'tap'
import { octavo } from '../cli/octavo.js'

const turns = 10
const parameters = {
  type: 'object' as const,
  properties: {
    city: { type: 'string', enum: ['Paris', 'Rome', 'Oslo'] },
    days: { type: 'integer', minimum: 1, maximum: 9 },
    units: { type: 'string', enum: ['metric', 'imperial'] }
  },
  required: ['city', 'days', 'units'],
  additionalProperties: false
}
const description = 'Tells how the weather will be in a city.'
const system = 'You are a helpful assistant who looks things up with tools. Answer in one short sentence.'
const question = (turn: number) => `Question ${turn}: how will the weather be in the next days?`
const result = (turn: number) => JSON.stringify({ forecast: ['rain', 'sun'][turn % 2], degrees: 10 + turn })

/** One request's usage; `cached` counts prompt tokens that were not computed. */
interface Usage {
  prompt: number
  cached: number
  answer: number
}

class Reuse {
  reusable = 0
  reused = 0
  #computed = 0

  add({ prompt, cached, answer }: Usage): void {
    if (this.#computed > 0) {
      this.reusable += this.#computed
      this.reused += Math.min(cached, this.#computed)
    }
    // The last token that was drawn is not computed, the one that ends the turn neither.
    this.#computed = prompt + answer - 1
  }

  judge(t: Test, name: string): void {
    const share = this.reused / this.reusable
    t.comment(`${name}: ${this.reused} of ${this.reusable} tokens reused, ${(share * 100).toFixed(2)} %`)
    t.ok(this.reusable > 5000, 'a conversation worth measuring')
    t.ok(share >= 0.99, `${name}: ${(share * 100).toFixed(2)} % of the reusable tokens`)
    all.reusable += this.reusable
    all.reused += this.reused
  }
}

const all = { reusable: 0, reused: 0 }

t.test('an agent of ten turns reuses its prefix', async t => {
  const server = octavo(t, ['serve', '--port', '0'], { OCTAVO_CTX_SIZE: '16384' })
  const url: string = JSON.parse(await server.line(/"msg":"ready"/)).address

  await t.test('chat completions', t => chat(t, url, {}))
  await t.test('chat completions, sampled', t => chat(t, url, { temperature: 0.8, seed: 7 }))
  await t.test('messages', t => messages(t, url))
  await t.test('responses', t => responses(t, url))
  const share = all.reused / all.reusable
  t.ok(share >= 0.99, `together: ${(share * 100).toFixed(2)} % of the reusable tokens`)
})

async function chat(t: Test, url: string, sampling: { temperature?: number; seed?: number }): Promise<void> {
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
  const reuse = new Reuse()
  const tools = [{ type: 'function' as const, function: { name: 'weather', description, parameters } }]
  const history: OpenAI.ChatCompletionMessageParam[] = [{ role: 'system', content: system }]
  const ask = async (tool_choice: 'auto' | 'required') => {
    const completion = await openai.chat.completions.create({
      model: 'default',
      messages: history,
      tools,
      tool_choice,
      temperature: 0,
      max_tokens: 60,
      ...sampling
    })
    const { usage } = completion
    reuse.add({
      prompt: usage?.prompt_tokens ?? 0,
      cached: usage?.prompt_tokens_details?.cached_tokens ?? 0,
      answer: usage?.completion_tokens ?? 0
    })
    const message = completion.choices[0]?.message
    if (!message) throw new Error('no message')
    history.push(message)
    return message
  }
  for (let turn = 0; turn < turns; turn += 1) {
    history.push({ role: 'user', content: question(turn) })
    const { tool_calls: calls = [] } = await ask('required')
    t.ok(calls.length > 0)
    for (const call of calls) history.push({ role: 'tool', tool_call_id: call.id, content: result(turn) })
    const { tool_calls: more = [] } = await ask('auto')
    for (const call of more) history.push({ role: 'tool', tool_call_id: call.id, content: result(turn) })
  }
  reuse.judge(t, 'chat')
}

async function messages(t: Test, url: string): Promise<void> {
  const anthropic = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 })
  const reuse = new Reuse()
  const tools = [{ name: 'weather', description, input_schema: parameters }]
  const history: Anthropic.MessageParam[] = []
  let request = 0
  const ask = async (type: 'auto' | 'any') => {
    request += 1
    const message = await anthropic.messages
      .stream({
        model: 'default',
        system: [
          { type: 'text', text: `x-anthropic-billing-header: cc_version=2.1; cch=${request};` },
          { type: 'text', text: system, cache_control: { type: 'ephemeral' } }
        ],
        messages: history,
        tools,
        tool_choice: { type },
        temperature: 0,
        max_tokens: 60
      })
      .finalMessage()
    const { usage } = message
    const cached = usage.cache_read_input_tokens ?? 0
    reuse.add({ prompt: usage.input_tokens + cached, cached, answer: usage.output_tokens })
    history.push({ role: 'assistant', content: message.content })
    return message.content.filter(block => block.type === 'tool_use')
  }
  const results = (uses: Anthropic.ToolUseBlock[], turn: number) =>
    uses.map(use => ({ type: 'tool_result' as const, tool_use_id: use.id, content: result(turn) }))
  let pending: Anthropic.ToolResultBlockParam[] = []
  for (let turn = 0; turn < turns; turn += 1) {
    history.push({ role: 'user', content: [...pending, { type: 'text', text: question(turn) }] })
    history.push({ role: 'user', content: results(await ask('any'), turn) })
    pending = results(await ask('auto'), turn)
  }
  reuse.judge(t, 'messages')
}

async function responses(t: Test, url: string): Promise<void> {
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
  const reuse = new Reuse()
  const tools = [{ type: 'function' as const, name: 'weather', description, parameters, strict: true }]
  let previous: string | undefined
  const ask = async (input: OpenAI.Responses.ResponseInput, tool_choice: 'auto' | 'required') => {
    const response = await openai.responses.create({
      model: 'default',
      instructions: system,
      input,
      previous_response_id: previous,
      tools,
      tool_choice,
      temperature: 0,
      max_output_tokens: 60
    })
    previous = response.id
    const { usage } = response
    reuse.add({
      prompt: usage?.input_tokens ?? 0,
      cached: usage?.input_tokens_details.cached_tokens ?? 0,
      answer: usage?.output_tokens ?? 0
    })
    return response.output.filter(item => item.type === 'function_call')
  }
  const outputs = (calls: OpenAI.Responses.ResponseFunctionToolCall[], turn: number) =>
    calls.map(call => ({
      type: 'function_call_output' as const,
      call_id: call.call_id,
      output: result(turn)
    }))
  let pending: OpenAI.Responses.ResponseInput = []
  for (let turn = 0; turn < turns; turn += 1) {
    const calls = await ask([...pending, { role: 'user', content: question(turn) }], 'required')
    pending = outputs(await ask(outputs(calls, turn), 'auto'), turn)
  }
  reuse.judge(t, 'responses')
}
