#!/usr/bin/env node
import { main } from './cli/main.js'

// Connections of a broken-off download or a lost client must not hold a process that is done.
process.exit(await main(process.argv.slice(2), process.env))
