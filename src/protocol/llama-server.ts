/** Bodies and answers of llama-server's own routes. */
import { type Static, Type } from 'typebox'
import type { Capabilities, ModelInfo } from '../engine/backend.js'
import { ChatRequest, nullable } from './openai/schema/chat.js'

const Tokens = Type.Array(Type.Integer())

export const TokenizeRequest = Type.Object({
  model: Type.Optional(Type.String()),
  /** A text, or texts and tokens in turn. */
  content: Type.Optional(
    Type.Union([Type.String(), Type.Array(Type.Union([Type.String(), Type.Integer()]))])
  ),
  /** Put the special tokens around the text that the vocabulary asks for. */
  add_special: nullable(Type.Boolean()),
  /** Read special tokens in the text as such; true by default. */
  parse_special: nullable(Type.Boolean()),
  /** Give each token's text (or bytes) beside its number. */
  with_pieces: nullable(Type.Boolean())
})
export type TokenizeRequest = Static<typeof TokenizeRequest>

export const DetokenizeRequest = Type.Object({
  model: Type.Optional(Type.String()),
  tokens: Type.Optional(Tokens)
})

const { properties } = ChatRequest
export const ApplyTemplateRequest = Type.Object({
  model: properties.model,
  messages: properties.messages,
  tools: properties.tools,
  tool_choice: properties.tool_choice,
  reasoning_effort: properties.reasoning_effort,
  chat_template_kwargs: properties.chat_template_kwargs
})

/** A token and its text; its bytes where they are no whole number of characters. */
export interface TokenPiece {
  id: number
  piece: string | number[]
}

export function toPiece(id: number, bytes: number[]): TokenPiece {
  const buffer = Buffer.from(bytes)
  const text = buffer.toString('utf8')
  return { id, piece: Buffer.from(text).equals(buffer) ? text : bytes }
}

/** The fields of llama-server's `/props` that mean something here. */
export function toProps(id: string, info: ModelInfo, capabilities: Capabilities, version: string) {
  return {
    default_generation_settings: {
      params: defaultParams,
      n_ctx: capabilities.cellsPerSequence
    },
    model_alias: id,
    model_path: info.path,
    modalities: { vision: false, video: false, audio: false },
    chat_template: info.chatTemplate ?? '',
    bos_token: info.bosText,
    eos_token: info.eosText,
    build_info: `octavo ${version}, llama.cpp ${info.libraryVersion}`,
    is_sleeping: false
  }
}

/** What a request gets that says nothing: OpenAI's defaults (see sampling.ts), in llama-server's words. */
const defaultParams = {
  seed: 0xffff_ffff,
  temperature: 1,
  top_k: 0,
  top_p: 1,
  min_p: 0,
  repeat_last_n: 64,
  repeat_penalty: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  max_tokens: -1,
  n_predict: -1,
  ignore_eos: false,
  stream: false,
  n_probs: 0
}
