#!/bin/sh
# No SDK at all: a whole answer, a streamed one, tokens, vectors.
set -e
url="${OCTAVO_URL:-http://127.0.0.1:8080}"
post() {
  curl -sS --fail-with-body -H 'content-type: application/json' \
    -H "authorization: Bearer ${OCTAVO_API_KEY:-none}" "$url$1" -d "$2"
  echo
}

post /v1/chat/completions '{"messages":[{"role":"user","content":"Hello!"}],"max_tokens":20}'
post /v1/chat/completions '{"messages":[{"role":"user","content":"Hello!"}],"max_tokens":5,"stream":true}'
post /v1/completions '{"prompt":"Once upon a time","max_tokens":20}'
post /tokenize '{"content":"How many tokens are these?"}'
post /v1/embeddings '{"input":"a vector, please"}' | cut -c 1-100
curl -sS "$url/v1/models" -H "authorization: Bearer ${OCTAVO_API_KEY:-none}"
echo
