// Search by meaning: the document whose vector is nearest to the question's.
import OpenAI from 'openai'

const openai = new OpenAI({
  baseURL: `${process.env.OCTAVO_URL ?? 'http://127.0.0.1:8080'}/v1`,
  apiKey: process.env.OCTAVO_API_KEY ?? 'none'
})

const documents = [
  'Bread is baked from flour, water and salt.',
  'The train to the coast leaves at nine in the morning.',
  'A cat sleeps for sixteen hours a day.'
]
const question = 'When can I travel to the sea?'

const { data } = await openai.embeddings.create({ model: 'default', input: [question, ...documents] })
const [asked, ...others] = data.map(({ embedding }) => embedding)
// Vectors have length 1: the dot product is the cosine of their angle.
const scores = others.map(vector => vector.reduce((sum, value, index) => sum + value * asked[index], 0))
const best = scores.indexOf(Math.max(...scores))
process.stdout.write(`${question}\n${documents[best]} (${scores[best].toFixed(2)})\n`)
