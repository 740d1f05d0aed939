// The command line of the soak run (main.ts): options, defaults, bounds.
import { parseArgs } from 'node:util';

export const HELP = `Soak run: mixed miners against the engine for minutes, then every share of the journal is compared with what the
miners were told. Exit code 1 on any difference.

  npm run soak -- [options]

  --minutes N      length of the run, 0.1 to 1440                                     (10)
  --miners N       simulated miners, 1 to 20000                                       (2000)
  --seed S         whole number from which the habits of the miners follow            (1)
  --engine E       thread: the connection thread alone, on made-up jobs;
                   pool: the whole pool on a private chain                            (thread)
  --json FILE      writes the result to FILE as well
  --help           this text

2,000 miners send 2,000 shares a second; engine and miners together take about one core. Linux only.
`;

/** The command line cannot be followed; the message names the option and what was expected. */
export class UsageError extends Error {}

export interface SoakOptions {
  readonly minutes: number;
  readonly miners: number;
  readonly seed: number;
  readonly engine: 'thread' | 'pool';
  /** Null: no file. */
  readonly jsonFile: string | null;
}

/**
 * @returns null when help was asked for
 * @throws UsageError
 */
export function readOptions(args: readonly string[]): SoakOptions | null {
  const text = { type: 'string' } as const;
  const options = {
    ...{ minutes: text, miners: text, seed: text, engine: text, json: text },
    help: { type: 'boolean' },
  } as const;
  let values: ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];
  try {
    ({ values } = parseArgs({ args: [...args], options, strict: true }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values.help === true) return null;
  const { minutes = '10', miners = '2000', seed = '1', engine = 'thread', json = null } = values;
  if (engine !== 'thread' && engine !== 'pool') {
    throw new UsageError(`--engine is "${engine}", expected thread or pool`);
  }
  return {
    engine,
    minutes: numberIn('--minutes', minutes, 0.1, 1440),
    miners: wholeNumberIn('--miners', miners, 1, 20_000),
    seed: wholeNumberIn('--seed', seed, 0, 2 ** 32 - 1),
    jsonFile: json,
  };
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
