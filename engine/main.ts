#!/usr/bin/env node
// Entry of the pool process: reads what the operator set, then runs the command. See cli/.
import { runCommand } from './cli/commands.js';

const argv = process.argv.slice(2);
const exitCode = await runCommand(argv);
if (exitCode === null) await runPool();
else process.exitCode = exitCode;

async function runPool(): Promise<void> {
  const { prepareStart } = await import('./cli/prepare-start.js');
  const request = prepareStart({ argv, env: process.env, cwd: process.cwd() });
  if ('text' in request) {
    (request.exitCode === 0 ? process.stdout : process.stderr).write(request.text);
    process.exitCode = request.exitCode;
    return;
  }
  const { start } = await import('./cli/start.js');
  // Nothing may keep a stopped pool alive, whatever handle a library forgot to close.
  process.exit(await start(request.config));
}
