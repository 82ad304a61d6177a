// LangChain: a chain, streamed, and embeddings.
import { StringOutputParser } from '@langchain/core/output_parsers'
import { ChatPromptTemplate } from '@langchain/core/prompts'
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai'

const connection = {
  apiKey: process.env.OCTAVO_API_KEY ?? 'none',
  configuration: { baseURL: `${process.env.OCTAVO_URL ?? 'http://127.0.0.1:8080'}/v1` }
}

const chain = ChatPromptTemplate.fromMessages([
  ['system', 'You explain things to a {audience}.'],
  ['user', '{question}']
])
  .pipe(new ChatOpenAI({ ...connection, model: 'default', maxTokens: 60 }))
  .pipe(new StringOutputParser())

const stream = await chain.stream({ audience: 'child', question: 'Why is the sky blue?' })
for await (const text of stream) process.stdout.write(text)

const embeddings = new OpenAIEmbeddings({ ...connection, model: 'default' })
const vector = await embeddings.embedQuery('Why is the sky blue?')
process.stdout.write(`\na vector of ${vector.length} numbers\n`)
