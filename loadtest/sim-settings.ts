// The command line of the simulated miners (`sim-miners.ts`): options, defaults, bounds.
import { parseArgs } from 'node:util';
import { SUBMITS_IN_FLIGHT_MAX } from './stratum-client.js';

export const HELP = `Simulated Bitcoin miners that really hash (Stratum V1).

  node dist/loadtest/sim-miners.js --account ADDRESS[,ADDRESS...] [options]

  --host HOST        pool host                                          (127.0.0.1)
  --port PORT        pool port                                          (3333)
  --account LIST     payout addresses, comma-separated; miners take them in turn
                     and authorize as ADDRESS.rig1, ADDRESS.rig2, ...   (required)
  --miners N         miners, each with a connection of its own, 1 to 20000   (4)
  --hashrate H       hashes per second of all miners together, such as 80000 or
                     1.5e6; 0 or max: as fast as the machine allows     (max)
  --threads N        hash threads                                       (one per core)
  --in-flight N      most unanswered shares of a connection, 1 to 1024  (64)
  --help             this text

Every second miner negotiates version rolling, the others speak plain Stratum.
By hand, statistics come every 5 seconds: a line on a terminal, JSON otherwise.
`;

/** The command line cannot be followed; the message names the option and what was expected. */
export class UsageError extends Error {}

export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly accounts: readonly string[];
  readonly miners: number;
  /** Null: as fast as the machine allows. */
  readonly hashrateHs: number | null;
  readonly threads: number;
  readonly submitsInFlightMax: number;
}

/**
 * Reads the command line.
 * @returns null when help was asked for
 * @throws UsageError that names the option, its value and what was expected
 */
export function readSettings(args: readonly string[], cores: number): Settings | null {
  const text = { type: 'string' } as const;
  const options = {
    ...{
      host: text,
      port: text,
      account: text,
      miners: text,
      hashrate: text,
      threads: text,
      'in-flight': text,
    },
    help: { type: 'boolean' },
  } as const;
  let values: ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];
  try {
    ({ values } = parseArgs({ args: [...args], options, strict: true }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help === true) return null;
  const accounts = (values.account ?? '').split(',').map((account) => account.trim());
  if (accounts.some((account) => account === '')) {
    throw new UsageError('--account must be one or more payout addresses, comma-separated');
  }
  return {
    accounts,
    host: values.host ?? '127.0.0.1',
    port: wholeNumber('--port', values.port ?? '3333', 1, 65_535),
    miners: wholeNumber('--miners', values.miners ?? '4', 1, 20_000),
    hashrateHs: hashrate(values.hashrate ?? 'max'),
    threads: wholeNumber('--threads', values.threads ?? String(Math.min(cores, 256)), 1, 256),
    submitsInFlightMax: wholeNumber(
      '--in-flight',
      values['in-flight'] ?? String(SUBMITS_IN_FLIGHT_MAX),
      1,
      1024,
    ),
  };
}

function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value) || value < min || value > max) {
    throw new UsageError(`${option} is "${text}", expected a whole number from ${min} to ${max}`);
  }
  return value;
}

function hashrate(text: string): number | null {
  if (text === 'max') return null;
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new UsageError(`--hashrate is "${text}", expected hashes per second such as 80000, or max`);
  }
  return value === 0 ? null : value;
}
