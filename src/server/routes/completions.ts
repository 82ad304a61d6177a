import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { ModelInfo } from '../../engine/backend.js'
import type { GenerationRequest, PromptSegment } from '../../engine/messages.js'
import type { Engine, Model, Models, TokenizingEngine } from '../../models/types.js'
import { answerHead } from '../../protocol/openai/answer-head.js'
import { CompletionAnswer } from '../../protocol/openai/completion-answer.js'
import {
  type CompletionPrompt,
  candidatesOf,
  checkCompletionRequest,
  completionParamNames,
  promptsOf,
  toCompletionGeneration,
  toSegments
} from '../../protocol/openai/completion-request.js'
import { CompletionStreamEncoder } from '../../protocol/openai/completion-stream.js'
import { CompletionRequest } from '../../protocol/openai/schema/completion.js'
import { refusalError } from '../../protocol/outcomes.js'
import { collect } from '../generation/collect.js'
import { PromptBatch } from '../generation/prompt-batch.js'
import { measurePrompt, PromptMeasure } from '../generation/prompt-measure.js'
import { readyEngine } from '../generation/ready-engine.js'
import { respondWithStream } from '../generation/respond.js'
import type { ServerOptions } from '../options.js'
import { findModel } from './find-model.js'
import { infillTokensOf } from './infill-tokens.js'
import { loadedInfo } from './loaded-model.js'

/** `POST /completions`: OpenAI's text completion, whole or streamed, of one prompt or many. */
const completions: FastifyPluginAsyncTypebox<{ models: Models; config: ServerOptions }> = async (
  app,
  { models, config }
) => {
  app.post('/completions', { schema: { body: CompletionRequest } }, async (request, reply) => {
    const { body } = request
    const model = findModel(models, body.model, app.embeddings)
    checkCompletionRequest(body)
    const words = { paramNames: completionParamNames(body), promptParam: 'prompt' }
    const written = promptsOf(body)
    const plan = async (info: ModelInfo, engine: TokenizingEngine) => {
      const { vocabularySize } = info
      const prompts = await segmentsOf(written, body, info, engine)
      const context = { caller: request.caller, vocabularySize }
      return { prompts, generation: toCompletionGeneration(body, prompts[0] as PromptSegment[], context) }
    }
    const engine = await readyEngine(model, reply, config.keepAliveMs, async vocabulary => {
      const { prompts, generation } = await plan(vocabulary.info, vocabulary)
      // Where nothing is generated other bounds hold, see targetOf.
      if (generation.maxTokens === 0) return
      for (const prompt of prompts) {
        const refusal = await vocabulary.examine({ ...generation, prompt })
        if (refusal !== null) throw refusalError(refusal, words.paramNames, words.promptParam)
      }
    })
    const info = loadedInfo(model)
    const { prompts, generation } = await plan(info, engine)
    const head = answerHead('cmpl', model.id, info.fingerprint)
    const echoes = await echoesOf(written, body, engine)
    const target = await targetOf(engine, model, prompts, generation)
    const logprobs = body.logprobs != null
    const candidates = candidatesOf(body)
    const promptLogprobs = generation.promptLogprobs != null

    if (body.stream === true) {
      const includeUsage = body.stream_options?.include_usage === true
      const perChoice = echoes.flatMap(echo => Array.from({ length: candidates }, () => echo))
      const encoder = new CompletionStreamEncoder(head, {
        echoes: perChoice,
        includeUsage,
        logprobs,
        promptLogprobs,
        choicesPerPrompt: candidates
      })
      const { keepAliveMs } = config
      return respondWithStream(reply, target, generation, words, { encoder, keepAliveMs })
    }
    const answer = new CompletionAnswer(head, {
      echoes,
      candidates,
      choices: body.n ?? 1,
      logprobs,
      promptLogprobs
    })
    await collect(target, generation, reply.raw, words, event => answer.add(event))
    return answer.finish()
  })
}

export default completions

async function segmentsOf(
  prompts: CompletionPrompt[],
  body: CompletionRequest,
  info: ModelInfo,
  engine: TokenizingEngine
): Promise<PromptSegment[][]> {
  const infill = body.suffix ? await infillTokensOf(info, engine) : null
  return prompts.map(prompt => toSegments(prompt, body, { ...info, infill }))
}

async function echoesOf(
  prompts: CompletionPrompt[],
  { echo }: CompletionRequest,
  engine: Engine
): Promise<string[]> {
  return Promise.all(
    prompts.map(prompt => {
      if (echo !== true) return ''
      if (typeof prompt === 'string') return prompt
      return engine.call('detokenize', { tokens: prompt, special: true })
    })
  )
}

/**
 * What the request is submitted to. Of several prompts every one is measured first: the engine says that one is too
 * long when it comes to it, and by then the headers may be out.
 * @throws ApiError context_length_exceeded
 */
async function targetOf(
  engine: Engine,
  model: Model,
  prompts: PromptSegment[][],
  { maxTokens, promptLogprobs }: GenerationRequest
): Promise<Engine> {
  const limit = model.capabilities?.cellsPerSequence ?? Number.POSITIVE_INFINITY
  if (maxTokens === 0 && promptLogprobs == null) return new PromptMeasure(engine, prompts, limit)
  if (prompts.length === 1) return engine
  for (const prompt of prompts) {
    const promptTokens = await measurePrompt(engine, prompt)
    if (promptTokens >= limit) throw refusalError({ kind: 'tooLong', promptTokens, limit }, {}, 'prompt')
  }
  return new PromptBatch(engine, prompts)
}
