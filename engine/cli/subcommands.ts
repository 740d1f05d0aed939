// How `millrace payout` and `millrace ledger` run: one of several subcommands, each with flags and a --help of its own,
// on the ledger of a pool.
import { parseArgs } from 'node:util';
import type { Authority } from '../../storage/postgres/audit-log.js';
import { explainPostgresError } from '../../storage/postgres/connection.js';
import { addressFromScript, scriptFromAddress } from '../bitcoin/address.js';
import type { NetworkName } from '../bitcoin/networks.js';
import { EXIT_USAGE } from './commands.js';
import { type CommandDatabase, openCommandDatabase } from './database.js';
import { POOL_HELP, POOL_OPTIONS } from './running-stores.js';

/** Flags of one command as parseArgs gives them. */
export type Values = Readonly<Record<string, string | boolean | undefined>>;

export interface Subcommand {
  /** First line: what is written and what it does. */
  help: readonly string[];
  flags: Readonly<Record<string, { type: 'string' | 'boolean' }>>;
  /** Names of what is written without a flag; the last one may come several times when it ends in `...`. */
  words: readonly string[];
  /** What to print. */
  run(words: readonly string[], values: Values, pool: CommandDatabase): Promise<string>;
}

export const TEXT_FLAG = { type: 'string' } as const;
export const AUTHORITY_FLAGS = { actor: TEXT_FLAG, reason: TEXT_FLAG };
export const AUTHORITY_HELP = [
  '  --actor NAME     who does this; kept in the audit log',
  '  --reason TEXT    why; kept in the audit log',
];
export const JSON_HELP = '  --json           one JSON object instead of text; satoshis as strings';

const EXIT_FAULT = 1;
const LIMIT_MAX = 10_000;

/** What was written cannot be followed. */
export class UsageError extends Error {}

/** Runs the subcommand that `argv` names; resolves with the exit code. Never throws for what an operator can get wrong. */
export async function runSubcommand(
  name: string,
  intro: readonly string[],
  subcommands: Readonly<Record<string, Subcommand>>,
  argv: readonly string[],
): Promise<number> {
  const [word = '', ...rest] = argv;
  const subcommand = Object.hasOwn(subcommands, word) ? subcommands[word] : undefined;
  if (subcommand === undefined) {
    const asked = word === '--help';
    const list = Object.values(subcommands).map(({ help }) => `  ${help[0]}`);
    const text = [...intro, '', ...list, '', 'Each has a --help of its own.'].join('\n');
    (asked ? process.stdout : process.stderr).write(`${text}\n`);
    return asked ? 0 : EXIT_USAGE;
  }
  let opened: CommandDatabase | undefined;
  try {
    const { values, words } = readArguments(subcommand, rest);
    if (values.help === true) {
      process.stdout.write(`${[...subcommand.help, '', JSON_HELP, ...POOL_HELP].join('\n')}\n`);
      return 0;
    }
    opened = await openCommandDatabase(values);
    process.stdout.write(`${await subcommand.run(words, values, opened)}\n`);
    return 0;
  } catch (error) {
    const { name: kind, message } = error as Error;
    process.stderr.write(`${kind === 'PostgresError' ? explainPostgresError(error) : message}\n`);
    if (!(error instanceof UsageError)) return EXIT_FAULT;
    process.stderr.write(`millrace ${name} ${word} --help tells more.\n`);
    return EXIT_USAGE;
  } finally {
    await opened?.close();
  }
}

function readArguments(
  { flags, words: names }: Subcommand,
  args: readonly string[],
): { values: Values; words: string[] } {
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({
      args: [...args],
      options: { ...POOL_OPTIONS, ...flags, json: { type: 'boolean' }, help: { type: 'boolean' } },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const values = parsed.values as Values;
  const words = parsed.positionals;
  if (values.help === true) return { values, words };
  if (words.length < names.length) throw new UsageError(`${names[words.length]} is missing`);
  const isOpen = names.at(-1)?.endsWith('...') === true;
  if (words.length > names.length && !isOpen) {
    throw new UsageError(`${JSON.stringify(words[names.length])} is too many`);
  }
  return { values, words };
}

/** Whole satoshis above 0. Throws UsageError, with a hint when it looks like an amount in BTC. */
export function readSats(flag: string, value: Values[string]): bigint {
  if (typeof value !== 'string') throw new UsageError(`${flag} is missing: how many satoshis?`);
  if (/^0*[1-9]\d{0,15}$/.test(value)) return BigInt(value);
  const btc = /^(\d{1,8})?\.(\d{1,8})$/.exec(value);
  const hint =
    btc === null ? '' : `; ${value} BTC are ${BigInt((btc[1] ?? '0') + (btc[2] ?? '').padEnd(8, '0'))}`;
  throw new UsageError(`${flag} ${value} is no whole number of satoshis above 0${hint}`);
}

/** 1 to `limit` characters that name a wish, so that the same command twice is one. */
export function readKey(value: Values[string], charactersMax: number): string {
  if (typeof value !== 'string' || value === '') {
    throw new UsageError('--key is missing: a name of this wish, so that the same command twice is one');
  }
  if (value.length > charactersMax) throw new UsageError(`--key has more than ${charactersMax} characters`);
  return value;
}

export function readAuthority({ actor, reason }: Values): Authority {
  if (typeof actor !== 'string' || actor.trim() === '')
    throw new UsageError('--actor is missing: who does this?');
  if (typeof reason !== 'string' || reason.trim() === '') {
    throw new UsageError('--reason is missing: why is this done?');
  }
  return { actor, reason };
}

/** The number of a payout. */
export function readId(text: string | undefined): bigint {
  if (text === undefined || !/^\d{1,18}$/.test(text)) {
    throw new UsageError(
      `${JSON.stringify(text)} is no number of a payout; millrace payout status lists them`,
    );
  }
  return BigInt(text);
}

export function readLimit(value: Values[string], fallback: number): number {
  if (value === undefined) return fallback;
  const limit = Number(value);
  if (!Number.isInteger(limit) || limit < 1 || limit > LIMIT_MAX) {
    throw new UsageError(`--limit ${value} is no number from 1 to ${LIMIT_MAX}`);
  }
  return limit;
}

/** Accounts are kept under the canonical form of an address. */
export function canonicalName(name: string, network: NetworkName): string {
  try {
    return addressFromScript(scriptFromAddress(name, network), network) ?? name;
  } catch {
    return name;
  }
}
