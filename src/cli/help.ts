import { flagHelp } from '../config/help.js'
import { defaultModel } from '../config/settings.js'

export function overview(): string {
  return `Octavo, an OpenAI-compatible inference server for one machine.

Usage:
  octavo [serve] [flags]    serve a model at http://127.0.0.1:8080
  octavo serve --help       all flags
  octavo --version

Without flags it serves ${defaultModel}, a small model that comes with it. A real one:
  octavo serve --model ~/models/Qwen3-8B-Q4_K_M.gguf
  octavo serve --model hf:Qwen/Qwen3-8B-GGUF:Q4_K_M`
}

export function serveHelp(): string {
  return `Serve a model over the OpenAI API.

Usage: octavo serve [flags]

Examples:
  octavo serve -m model.gguf -c 32768                  a pool of 32,768 tokens
  octavo serve -m hf:Qwen/Qwen3-8B-GGUF:Q4_K_M         download once, then serve
  OCTAVO_API_KEY=secret octavo serve --host 0.0.0.0    open to the network, with a key

${flagHelp()}

Every flag can also be set in the environment and in a config file: --ctx-size 16384 is
OCTAVO_CTX_SIZE=16384, and { "ctx-size": 16384 } in the file of --config. Flags win over the
environment, the environment over the file. Switches are turned off with --no-, e.g. --no-reproducible.`
}
