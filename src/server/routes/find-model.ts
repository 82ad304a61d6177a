import type { Model, Models } from '../../models/types.js'
import { ApiError } from '../../protocol/errors.js'

/** @throws ApiError model_not_found, with the names that there are */
export function findModel(models: Models, name: string | undefined): Model {
  const model = models.find(name)
  if (model) return model
  const available = models
    .list()
    .map(known => known.id)
    .join(', ')
  throw new ApiError('model_not_found', {
    param: 'model',
    details: { model: (name ?? 'default').slice(0, 200), available: available || 'none' }
  })
}
