// Stratum V1 conformance suite: `npm run conformance -- --host H --port P`. Talks to any pool as a miner does and
// says which rules it keeps.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PoolUnderTest } from './case.js';
import { CASES } from './cases/index.js';
import { HELP, readSuiteSettings, type SuiteSettings, UsageError } from './command-line.js';
import { CaseFailure } from './expectation.js';
import { OBSERVATIONS } from './observations.js';
import { closingText, resultLine, resultsAsJson, summaryOf } from './report.js';
import { type CaseResult, runCases } from './run.js';
import { Transcript } from './transcript.js';

try {
  const settings = readSuiteSettings(process.argv.slice(2));
  if (settings === null) process.stdout.write(HELP);
  else if (settings.list) process.stdout.write(listOfCases());
  else process.exitCode = await run(settings);
} catch (error) {
  process.exitCode = 2;
  const hint = error instanceof UsageError ? ' ("npm run conformance -- --help" tells more)' : '';
  const message = error instanceof Error ? error.message : String(error);
  const cause = error instanceof Error && error.cause instanceof Error ? `\n${error.cause.stack}` : '';
  process.stderr.write(`conformance: ${message}${hint}${cause}\n`);
}

async function run(settings: SuiteSettings): Promise<number> {
  const { only, json, transcripts, host, port } = settings;
  const cases = CASES.filter(({ name }) => only.length === 0 || only.some((wanted) => isOrIn(name, wanted)));
  if (cases.length === 0) throw new UsageError(`--only ${only.join(' ')} names no case: --list shows them`);
  await checkAccess(settings);
  if (transcripts !== null) mkdirSync(transcripts, { recursive: true });
  if (!json) process.stdout.write(`${host}:${port}, ${cases.length} cases as ${settings.user}\n\n`);
  const results = await runCases(settings, cases, {
    slow: settings.slow,
    hostile: settings.hostile,
    onResult: (result) => {
      if (!json) process.stdout.write(`${resultLine(result)}\n`);
      if (transcripts !== null) keep(transcripts, result);
    },
  });
  process.stdout.write(json ? `${resultsAsJson(host, port, results)}\n` : `${closingText(results)}\n`);
  return summaryOf(results).mustFailed > 0 ? 1 : 0;
}

/** Nothing can be said about a pool that cannot be reached or does not know the user. */
async function checkAccess(settings: SuiteSettings): Promise<void> {
  const pool = new PoolUnderTest(settings, new Transcript());
  try {
    await pool.miner();
  } catch (error) {
    if (!(error instanceof CaseFailure)) throw error;
    throw new Error(`${error.message}. Is it a Stratum V1 port, and is --user right for this pool?`);
  } finally {
    pool.close();
  }
}

function isOrIn(name: string, wanted: string): boolean {
  return name === wanted || name.startsWith(`${wanted}/`);
}

function keep(folder: string, { name, outcome, rule, transcript }: CaseResult): void {
  const text = [`${name}: ${rule}`, outcome, '', ...transcript, ''].join('\n');
  writeFileSync(join(folder, `${name.replace('/', '.')}.txt`), text);
}

function listOfCases(): string {
  return [...CASES, ...OBSERVATIONS]
    .map(
      ({ name, level, rule, source }) =>
        `${level.padEnd(6)}  ${name}\n        ${rule}\n        [${source}]\n`,
    )
    .join('');
}
