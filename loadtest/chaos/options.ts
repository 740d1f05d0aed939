// The command line of the chaos runs (main.ts): options, defaults, bounds.
import { parseArgs } from 'node:util';
import { SCENARIO_NAMES, type ScenarioName } from './scenario-names.js';

export const HELP = `A whole pool under load while its processes are killed, frozen or kept away. Then every share that a miner was
answered true for is looked for in the journal, in ClickHouse and in the work in Postgres. Exit code 1 on any difference.

  npm run chaos -- kill [options]      kills and freezes at random moments
  npm run chaos -- outage [options]    outages of minutes, a full disk, clock jumps; the check follows each of them

  --seed S         whole number from which targets and moments follow                 (1)
  --threads N      connection threads of the pool, 1 to 16                            (1)
  --miners N       simulated miners, 10 shares a second each, 1 to 500                (50)
  --json FILE      writes the result to FILE as well
  --help           this text

kill
  --rounds N       kills and freezes, 1 to 10000                                      (25)

outage
  --minutes M      length of each outage, 0.05 to 60                                  (2)
  --only NAMES     of these scenarios, with commas between them                       (all)
${SCENARIO_NAMES.map((name) => `                     ${name}`).join('\n')}

A kill takes 3 to 8 s, an outage half a minute more than its length. Pool and miners together take about one core.
Linux only. As root, disk-full uses a file system of its own for the journal; else writes fail as if the disk were full.
`;

/** The command line cannot be followed; the message names the option and what was expected. */
export class UsageError extends Error {}

interface CommonOptions {
  readonly seed: number;
  readonly threads: number;
  readonly miners: number;
  /** Null: no file. */
  readonly jsonFile: string | null;
}

export interface KillOptions extends CommonOptions {
  readonly run: 'kill';
  readonly rounds: number;
}

export interface OutageOptions extends CommonOptions {
  readonly run: 'outage';
  readonly minutes: number;
  readonly only: readonly ScenarioName[];
}

export type Options = KillOptions | OutageOptions;

/**
 * @returns null when help was asked for
 * @throws UsageError
 */
export function readOptions(args: readonly string[]): Options | null {
  const text = { type: 'string' } as const;
  const options = {
    ...{ rounds: text, seed: text, threads: text, miners: text, json: text, minutes: text, only: text },
    help: { type: 'boolean' },
  } as const;
  let parsed: ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>>;
  try {
    parsed = parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { values, positionals } = parsed;
  if (values.help === true) return null;
  const [run] = positionals;
  if (positionals.length !== 1 || (run !== 'kill' && run !== 'outage')) {
    throw new UsageError(`the run is "${positionals.join(' ')}", expected kill or outage`);
  }
  const foreign = run === 'kill' ? (['minutes', 'only'] as const) : (['rounds'] as const);
  for (const name of foreign) {
    if (values[name] !== undefined) throw new UsageError(`--${name} is no option of ${run}`);
  }
  const { seed = '1', threads = '1', miners = '50', json = null } = values;
  const common = {
    seed: wholeNumberIn('--seed', seed, 0, 2 ** 32 - 1),
    threads: wholeNumberIn('--threads', threads, 1, 16),
    miners: wholeNumberIn('--miners', miners, 1, 500),
    jsonFile: json,
  };
  const { rounds = '25', minutes = '2', only } = values;
  if (run === 'kill') return { run, ...common, rounds: wholeNumberIn('--rounds', rounds, 1, 10_000) };
  return { run, ...common, minutes: numberIn('--minutes', minutes, 0.05, 60), only: scenarioNames(only) };
}

/** In the order of the list, whatever the order asked for. */
function scenarioNames(text: string | undefined): readonly ScenarioName[] {
  if (text === undefined) return SCENARIO_NAMES;
  const wanted = text.split(',').map((name) => name.trim());
  const unknown = wanted.find((name) => !SCENARIO_NAMES.some((known) => known === name));
  if (unknown !== undefined) {
    throw new UsageError(`--only names "${unknown}", expected some of ${SCENARIO_NAMES.join(',')}`);
  }
  return SCENARIO_NAMES.filter((name) => wanted.includes(name));
}

function wholeNumberIn(option: string, text: string, min: number, max: number): number {
  const value = numberIn(option, text, min, max);
  if (!Number.isInteger(value)) throw new UsageError(`${option} is "${text}", expected a whole number`);
  return value;
}

function numberIn(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= min && value <= max)) {
    throw new UsageError(`${option} is "${text}", expected a number from ${min} to ${max}`);
  }
  return value;
}
