// The command line of the chaos runs (main.ts): options, defaults, bounds.
import { parseArgs } from 'node:util';

export const HELP = `Kill loop: the whole pool under load, its processes killed or frozen at random moments, then every share that a miner
was answered true for is looked for in the journal, in ClickHouse and in the work in Postgres. Exit code 1 on any difference.

  npm run chaos -- kill [options]

  --rounds N       kills and freezes, 1 to 10000                                      (25)
  --seed S         whole number from which targets and moments follow                 (1)
  --threads N      connection threads of the pool, 1 to 16                            (1)
  --miners N       simulated miners, 10 shares a second each, 1 to 500                (50)
  --json FILE      writes the result to FILE as well
  --help           this text

A round takes 3 to 8 s. Pool and miners together take about one core. Linux only.
`;

/** The command line cannot be followed; the message names the option and what was expected. */
export class UsageError extends Error {}

export interface KillOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly threads: number;
  readonly miners: number;
  /** Null: no file. */
  readonly jsonFile: string | null;
}

/**
 * @returns null when help was asked for
 * @throws UsageError
 */
export function readOptions(args: readonly string[]): KillOptions | null {
  const text = { type: 'string' } as const;
  const options = {
    ...{ rounds: text, seed: text, threads: text, miners: text, json: text },
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
  if (positionals.length !== 1 || positionals[0] !== 'kill') {
    throw new UsageError(`the run is "${positionals.join(' ')}", expected kill`);
  }
  const { rounds = '25', seed = '1', threads = '1', miners = '50', json = null } = values;
  return {
    rounds: wholeNumberIn('--rounds', rounds, 1, 10_000),
    seed: wholeNumberIn('--seed', seed, 0, 2 ** 32 - 1),
    threads: wholeNumberIn('--threads', threads, 1, 16),
    miners: wholeNumberIn('--miners', miners, 1, 500),
    jsonFile: json,
  };
}

function wholeNumberIn(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= min && value <= max) || !Number.isInteger(value)) {
    throw new UsageError(`${option} is "${text}", expected a whole number from ${min} to ${max}`);
  }
  return value;
}
