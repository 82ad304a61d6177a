import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import { packageVersion } from '../../../root.js'
import { describeRoute, tags, withoutAliases } from '../../openapi/describe.js'

/**
 * `GET /openapi.json`, made from the routes' own schemas, and a page at `/docs` that shows it (everything it needs comes
 * from this server). Both are open: they hold nothing that is not in the program. To be registered before the routes.
 */
export default fp(
  async app => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Octavo',
          version: packageVersion(),
          description:
            "OpenAI's API (and Anthropic's messages) for models that run on this machine. All paths under /v1 work without it too."
        },
        tags,
        components: {
          securitySchemes: {
            bearer: { type: 'http', scheme: 'bearer' },
            apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' }
          }
        },
        // Either key, or none where the server has none.
        security: [{ bearer: [] }, { apiKey: [] }, {}]
      },
      transform: ({ schema, url, route }) => ({ schema: describeRoute(schema, url, route), url }),
      transformObject: document => {
        if ('openapiObject' in document) return withoutAliases(document.openapiObject)
        throw new Error('the document is OpenAPI 3')
      }
    })
    const config = { open: true }
    app.get('/openapi.json', { config, schema: { hide: true } }, async () => app.swagger())
    await app.register(async scope => {
      scope.addHook('onRoute', route => {
        route.config = { ...route.config, open: true }
      })
      await scope.register(swaggerUi, {
        routePrefix: '/docs',
        // The library's own policy turns http into https, and lets the page ask a validator on the web.
        staticCSP: "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'",
        uiConfig: { validatorUrl: null },
        theme: { title: 'Octavo' }
      })
    })
  },
  { name: 'swagger' }
)
