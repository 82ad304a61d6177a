import type { ModelInfo } from '../../engine/backend.js'
import { EngineGoneError, type Model } from '../../models/types.js'
import { ApiError } from '../../protocol/errors.js'
import { ChatTemplate } from '../../protocol/template/chat-template.js'

/**
 * What is known about a model whose engine has just been had.
 * @throws EngineGoneError when it ended in the meantime
 */
export function loadedInfo(model: Model): ModelInfo {
  if (!model.info) throw new EngineGoneError()
  return model.info
}

const compiled = new WeakMap<ModelInfo, ChatTemplate>()

/**
 * The model's chat template, compiled once per loaded model.
 * @throws ApiError template_error when the model's template cannot be parsed
 */
export function templateOf(info: ModelInfo): ChatTemplate {
  const known = compiled.get(info)
  if (known) return known
  const template = compile(info)
  compiled.set(info, template)
  return template
}

function compile(info: ModelInfo): ChatTemplate {
  try {
    return new ChatTemplate(info)
  } catch (error) {
    throw new ApiError('template_error', {
      details: { reason: error instanceof Error ? error.message : String(error) },
      cause: error
    })
  }
}
