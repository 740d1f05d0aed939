// `millrace ledger`: what the books say of an account and of the pool, and the operator's own money into the reserve.
// Every movement names its rule. Called through commands.ts.
import { readAudit } from '../../storage/postgres/audit-log.js';
import { ExpectedPayStore } from '../../storage/postgres/expected-pay-store.js';
import { FeeAverages } from '../../storage/postgres/fee-averages.js';
import { accountHistory, poolHistory } from '../../storage/postgres/ledger-history.js';
import { LedgerStore } from '../../storage/postgres/ledger-store.js';
import { knownHeight } from '../../storage/postgres/payout-status.js';
import { ReserveStore } from '../../storage/postgres/reserve-store.js';
import type { Scheme } from '../accounting/schemes.js';
import { blockSubsidy } from '../bitcoin/subsidy.js';
import { reserveLimitAt, reserveRuin } from '../reserve-figures.js';
import { jsonLine } from './account-text.js';
import type { CommandDatabase } from './database.js';
import { auditText, historyText, type PoolPicture, poolText } from './ledger-text.js';
import {
  AUTHORITY_FLAGS,
  AUTHORITY_HELP,
  canonicalName,
  readAuthority,
  readKey,
  readLimit,
  readSats,
  runSubcommand,
  type Subcommand,
  TEXT_FLAG,
  UsageError,
  type Values,
} from './subcommands.js';

const LINES_DEFAULT = 20;
const KEY_CHARACTERS_MAX = 128;
const WORK_OF_MS = 24 * 3_600_000;

const INTRO = ['The ledger: zero-sum lines, each with the rule that made it. Amounts are whole satoshis.'];
const LIMIT_HELP = `  --limit N        newest lines [${LINES_DEFAULT}]`;
const VERBOSE_HELP = '  --verbose        the numbers that each rule was given';
const MONEY_HELP = [
  '  --sats N         whole satoshis',
  '  --key K          names this wish: the same key twice is one deposit',
  ...AUTHORITY_HELP,
];
const LINES_FLAGS = { limit: TEXT_FLAG, verbose: { type: 'boolean' } } as const;
const MONEY_FLAGS = { sats: TEXT_FLAG, key: TEXT_FLAG, ...AUTHORITY_FLAGS };

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  account: {
    help: [
      'millrace ledger account NAME: balances of an account, and its lines with their rules, newest first',
      '',
      LIMIT_HELP,
      VERBOSE_HELP,
    ],
    flags: LINES_FLAGS,
    words: ['NAME'],
    run: showAccount,
  },
  pool: {
    help: [
      "millrace ledger pool: the pool's own accounts, its reserve, what it owes, how safe that is",
      '',
      '  --limit N        newest lines of the pool, too [none]',
      VERBOSE_HELP,
    ],
    flags: LINES_FLAGS,
    words: [],
    run: showPool,
  },
  deposit: {
    help: [
      "millrace ledger deposit: the operator's own coins came into the hot wallet",
      '',
      'Books them; it moves no coin. They are capital until `ledger fund` makes them the reserve.',
      '',
      ...MONEY_HELP,
    ],
    flags: MONEY_FLAGS,
    words: [],
    run: deposit,
  },
  fund: {
    help: [
      'millrace ledger fund: capital or earned pool fees become the reserve, for good',
      '',
      '  --from KIND      capital or pool_fee [capital]',
      ...MONEY_HELP,
    ],
    flags: { ...MONEY_FLAGS, from: TEXT_FLAG },
    words: [],
    run: fund,
  },
  audit: {
    help: ['millrace ledger audit: what privileged people did, newest first', '', LIMIT_HELP],
    flags: { limit: TEXT_FLAG },
    words: [],
    run: async (_, values, { database }) => {
      const rows = await readAudit(database, readLimit(values.limit, LINES_DEFAULT));
      return values.json === true ? jsonLine(rows) : auditText(rows);
    },
  },
};

/** Runs `argv` (what follows `ledger`) and returns the exit code. */
export async function ledger(argv: readonly string[]): Promise<number> {
  return await runSubcommand('ledger', INTRO, SUBCOMMANDS, argv);
}

async function showAccount(
  [written = '']: readonly string[],
  values: Values,
  { config, database }: CommandDatabase,
): Promise<string> {
  const account = canonicalName(written, config.network);
  const history = await accountHistory(database, account, readLimit(values.limit, LINES_DEFAULT));
  if (history === null) throw new Error(`account ${account} never mined here. Check the name`);
  if (values.json === true) return jsonLine({ account, ...history });
  return historyText(`account ${account} (${config.network})`, history, values.verbose === true);
}

async function showPool(
  _: readonly string[],
  values: Values,
  { config, database }: CommandDatabase,
): Promise<string> {
  const limit = values.limit === undefined ? 0 : readLimit(values.limit, LINES_DEFAULT);
  const reserve = new ReserveStore(database);
  const { sumSats, mismatches } = await new LedgerStore(database).totals();
  const { balances, lines } = await poolHistory(database, limit);
  const terms = {
    subsidySats: (height: number) => blockSubsidy(height, config.network),
    feePpm: (scheme: Scheme) => config.feePpm[scheme],
  };
  const owed = await new ExpectedPayStore(database).owed(terms);
  const held = await reserve.balances();
  const height = (await knownHeight(database)) ?? 0;
  const [average] = await new FeeAverages(database).latest(1);
  const picture: PoolPicture = {
    network: config.network,
    balances,
    sumSats,
    mismatches,
    mode: await reserve.mode(),
    reserve: held,
    limitSats: config.reserveLimitSats ?? reserveLimitAt(height, config.network),
    owed,
    averageFeesSats: average?.averageFeesSats ?? null,
    ruinProbability: reserveRuin({
      backingSats: held.reserveSats + held.reserveImmatureSats + held.poolFeeSats - owed.sats,
      work: await reserve.workByScheme(new Date(Date.now() - WORK_OF_MS)),
      subsidySats: terms.subsidySats(height + 1),
      averageFeesSats: average?.averageFeesSats ?? 0n,
      feePpm: terms.feePpm,
    }),
    lines,
  };
  return values.json === true ? jsonLine(picture) : poolText(picture, values.verbose === true);
}

async function deposit(_: readonly string[], values: Values, { database }: CommandDatabase): Promise<string> {
  const sats = readSats('--sats', values.sats);
  const key = readKey(values.key, KEY_CHARACTERS_MAX);
  const reserve = new ReserveStore(database);
  const outcome = await reserve.depositCapital({ key, sats, ...readAuthority(values) });
  const { capitalSats } = await reserve.balances();
  if (values.json === true) return jsonLine({ outcome, key, sats, capitalSats });
  const what =
    outcome === 'deposited'
      ? `Deposited ${sats} sat of capital.`
      : `The deposit ${key} of ${sats} sat is booked already: nothing changed.`;
  return `${what} Capital holds ${capitalSats} sat; millrace ledger fund makes it the reserve.`;
}

async function fund(_: readonly string[], values: Values, { database }: CommandDatabase): Promise<string> {
  const from = values.from ?? 'capital';
  if (from !== 'capital' && from !== 'pool_fee') {
    throw new UsageError(`--from ${from} is neither capital nor pool_fee`);
  }
  const sats = readSats('--sats', values.sats);
  const key = readKey(values.key, KEY_CHARACTERS_MAX);
  const reserve = new ReserveStore(database);
  const outcome = await reserve.fundReserve({ key, sats, ...readAuthority(values) }, from);
  const held = await reserve.balances();
  if (values.json === true) return jsonLine({ outcome, key, sats, from, ...held });
  const what =
    outcome === 'deposited'
      ? `Moved ${sats} sat from ${from} to the reserve.`
      : `The funding ${key} of ${sats} sat is booked already: nothing changed.`;
  return `${what} The reserve holds ${held.reserveSats} sat, capital ${held.capitalSats}, pool fees ${held.poolFeeSats}.`;
}
