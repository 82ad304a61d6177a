import type { FastifyReply } from 'fastify'

/**
 * `x-octavo-rewritten-turns`: how many of the assistant's earlier turns stand in the prompt as the chat template writes
 * them and not as the model did, so that the cached prefix ends at the first of them (docs/tool-calls.md).
 */
export function tellRewritten(reply: FastifyReply, turns: number): void {
  if (turns > 0) reply.header('x-octavo-rewritten-turns', String(turns))
}
