import { flagHelp } from '../config/help.js'
import { defaultModel } from '../config/settings.js'

export function overview(): string {
  return `Octavo, an OpenAI-compatible inference server for one machine.

Usage:
  octavo [serve] [flags]    serve a model at http://127.0.0.1:8080
  octavo serve --help       all flags
  octavo cache list         what is kept on disk; verify, trim and clear: octavo cache --help
  octavo --version

Without flags it serves ${defaultModel}, a small model that comes with it. A real one:
  octavo serve --model ~/models/Qwen3-8B-Q4_K_M.gguf
  octavo serve --model hf:Qwen/Qwen3-8B-GGUF:Q4_K_M`
}

export function cacheHelp(): string {
  return `Look after the prefixes that servers keep on disk. Servers may be running.

Usage: octavo cache COMMAND [flags]

  list                      models, pieces, sizes, when they were used
  verify [--remove]         read every piece and check it; --remove takes damaged ones away.
                            Exit code 1 when damage is left
  trim --to SIZE            remove the least recently used pieces until SIZE is left: 500m, 2g
  clear [--model NAME]      remove everything, or what one model left (its name or folder as listed).
                            Asks on a terminal, unless --yes

Flags of all:
  --cache-dir DIR           as given to the server. Without it: OCTAVO_CACHE_DIR, the file of
                            --config, or the cache folder of the user
  --config FILE             the server's settings
  --json                    the report as JSON`
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
