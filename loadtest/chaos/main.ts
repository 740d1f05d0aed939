// Chaos runs: a whole pool under load while its parts are killed, frozen or kept away, then every share that a miner was
// answered `true` for is looked for in each store. `node dist/loadtest/chaos/main.js --help`
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort } from '../../storage/embedded/free-port.js';
import { requireProcFiles } from '../bench/process-usage.js';
import { KillRun } from './kill-run.js';
import { HELP, type Options, readOptions, UsageError } from './options.js';
import { outageTable } from './outage-report.js';
import { OutageRun } from './outage-run.js';
import { resultTable } from './report.js';

/** A run, ready to go, and how its result is told. */
interface Prepared {
  /** @returns the table, the same as data, and whether nothing was found */
  run(): Promise<{ table: string; result: object; isClean: boolean }>;
  /** Leaves no process behind. */
  abandon(): void;
}

function prepare(options: Options, folder: string, port: number): Prepared {
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  if (options.run === 'kill') {
    const kill = new KillRun(options, folder, port, say);
    const run = async () => {
      const result = await kill.run();
      return { table: resultTable(result), result, isClean: result.findings.length === 0 };
    };
    return { run, abandon: () => kill.abandon() };
  }
  const outage = new OutageRun(options, folder, port, say);
  const run = async () => {
    const result = await outage.run();
    const isClean = result.scenarios.every(({ findings }) => findings.length === 0);
    return { table: outageTable(result), result, isClean };
  };
  return { run, abandon: () => outage.abandon() };
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === null) {
    process.stdout.write(HELP);
    return;
  }
  requireProcFiles();
  const folder = mkdtempSync(join(tmpdir(), 'millrace-chaos-'));
  const prepared = prepare(options, folder, await findFreePort());
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      prepared.abandon();
      process.exit(1);
    });
  }
  let clean = false;
  try {
    const { table, result, isClean } = await prepared.run();
    process.stdout.write(`${table}\n`);
    if (options.jsonFile !== null) writeFileSync(options.jsonFile, `${JSON.stringify(result, null, 2)}\n`);
    clean = isClean;
  } finally {
    prepared.abandon();
    if (clean) rmSync(folder, { recursive: true });
    else {
      process.exitCode = 1;
      process.stdout.write(`\nData folder, log and books are kept in ${folder}\n`);
    }
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(
    error instanceof UsageError
      ? `${error.message}. See --help.\n`
      : `the run failed: ${(error as Error).stack}\n`,
  );
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
