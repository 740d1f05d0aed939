#!/usr/bin/env node
// Entry of the pool process: reads what the operator set, then runs the command. See cli/.
import { journal } from './cli/journal.js';
import { prepareStart } from './cli/prepare-start.js';
import { start } from './cli/start.js';

const argv = process.argv.slice(2);
if (argv[0] === 'journal') process.exitCode = await journal(argv.slice(1));
else await runPool();

async function runPool(): Promise<void> {
  const request = prepareStart({ argv, env: process.env, cwd: process.cwd() });
  if ('text' in request) {
    (request.exitCode === 0 ? process.stdout : process.stderr).write(request.text);
    process.exitCode = request.exitCode;
    return;
  }
  // Nothing may keep a stopped pool alive, whatever handle a library forgot to close.
  process.exit(await start(request.config));
}
