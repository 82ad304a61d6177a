// Vercel AI SDK: streamed text, and a tool that the SDK runs by itself.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'

const octavo = createOpenAICompatible({
  name: 'octavo',
  baseURL: `${process.env.OCTAVO_URL ?? 'http://127.0.0.1:8080'}/v1`,
  apiKey: process.env.OCTAVO_API_KEY ?? 'none',
  includeUsage: true
})
const model = octavo('default')

const { textStream, usage } = streamText({ model, prompt: 'Say something kind.', maxOutputTokens: 40 })
for await (const text of textStream) process.stdout.write(text)
process.stdout.write(`\n${(await usage).outputTokens} tokens\n`)

const add = tool({
  description: 'Adds two numbers',
  inputSchema: z.object({ a: z.number().int().min(0).max(99), b: z.number().int().min(0).max(99) }),
  execute: async ({ a, b }) => a + b
})
const { toolResults } = await generateText({
  model,
  prompt: 'What is 17 and 25?',
  tools: { add },
  toolChoice: 'required',
  // One call is enough: a weak model would go on calling.
  providerOptions: {
    octavo: { parallel_tool_calls: false, chat_template_kwargs: { enable_thinking: false } }
  },
  stopWhen: stepCountIs(1),
  maxOutputTokens: 200
})
for (const { input, output } of toolResults) process.stdout.write(`${input.a} + ${input.b} = ${output}\n`)
