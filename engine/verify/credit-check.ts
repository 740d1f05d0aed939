// What the checks of both kinds of credit share: the stores, and the comparison of lines in the end.
import type { ClickHouse } from '../../storage/clickhouse/client.js';
import type { Database } from '../../storage/postgres/connection.js';
import type { NetworkName } from '../bitcoin/networks.js';
import { accountIds, accountNames, chosenAround } from './account-records.js';
import { type Credit, type Lines, readLines } from './ledger-credits.js';
import type { UnnamedShares } from './raw-shares.js';
import type { Scheme } from './scheme-rules.js';
import type { ShortSlices } from './short-slices.js';
import {
  type CreditVerdict,
  DIFFERENCES_MAX,
  type InputDifferences,
  type LineDifference,
} from './verdict.js';

export interface VerifyStores {
  database: Database;
  clickhouse: ClickHouse;
  network: NetworkName;
  /** Of shares that name no scheme and whose account chose none. */
  defaultScheme: Scheme;
  /** All that the coinbase of a block pays, by a node; null: no node can be asked, the ledger's word is taken. */
  coinbaseSats: (hash: string) => Promise<bigint | null>;
}

export interface CheckStores extends VerifyStores {
  unnamed: UnnamedShares;
}

/** Schemes of accounts whose shares name none, as they were chosen around `at`. */
export async function unnamedSchemes(
  { unnamed, database, defaultScheme }: CheckStores,
  at: Date,
  slices: ShortSlices,
): Promise<Map<string, string>> {
  const names = await unnamed.accounts();
  const ids = await accountIds(database, names, slices);
  const chosen = await chosenAround(database, ids.values(), at, slices);
  return new Map(
    names.map((name) => {
      const [scheme] = chosen.get(ids.get(name) ?? -1)?.scheme ?? [];
      return [name, scheme ?? defaultScheme];
    }),
  );
}

/** Compares what the ledger posted with `recomputed`, line by line. */
export async function compareLines(
  { database }: VerifyStores,
  credit: Credit,
  recomputed: Lines,
  inputs: InputDifferences,
  slices: ShortSlices,
): Promise<CreditVerdict> {
  const posted = await readLines(database, credit.key, slices);
  const differing: { key: string; ledgerSats: bigint; recomputedSats: bigint }[] = [];
  const verdict = emptyVerdict(credit);
  for (const key of new Set([...posted.keys(), ...recomputed.keys()])) {
    await slices.pause();
    const ledgerSats = posted.get(key) ?? 0n;
    const recomputedSats = recomputed.get(key) ?? 0n;
    if (key.startsWith('miner_')) verdict.accounts++;
    if (ledgerSats > 0n) verdict.sats += ledgerSats;
    if (ledgerSats === recomputedSats) continue;
    const difference = ledgerSats - recomputedSats;
    verdict.differenceSats += difference < 0n ? -difference : difference;
    if (differing.length < DIFFERENCES_MAX) differing.push({ key, ledgerSats, recomputedSats });
  }
  verdict.inputs = inputs.all;
  verdict.lines = await namedLines(database, differing, inputs, slices);
  if (verdict.differenceSats !== 0n || verdict.inputs.length > 0) verdict.status = 'different';
  return verdict;
}

export function emptyVerdict(credit: Credit): CreditVerdict {
  return {
    key: credit.key,
    transactionId: credit.id,
    kind: credit.kind,
    postedAt: credit.postedAt,
    ...{ status: 'equal', accounts: 0, sats: 0n, differenceSats: 0n, lines: [], inputs: [], reason: '' },
  };
}

async function namedLines(
  database: Database,
  differing: readonly { key: string; ledgerSats: bigint; recomputedSats: bigint }[],
  inputs: InputDifferences,
  slices: ShortSlices,
): Promise<LineDifference[]> {
  const owners = differing.map(({ key }) => {
    const [kind = '', id = ''] = key.split(' ');
    return { kind, accountId: id === '' ? null : Number(id) };
  });
  const ids = owners.flatMap(({ accountId }) => (accountId === null ? [] : [accountId]));
  const names = await accountNames(database, ids, slices);
  return differing.map(({ ledgerSats, recomputedSats }, index) => {
    const { kind, accountId } = owners[index] as (typeof owners)[number];
    const account = accountId === null ? null : (names.get(accountId) ?? `account ${accountId}`);
    return { kind, account, ledgerSats, recomputedSats, cause: inputs.causeFor(account) };
  });
}

/** A number among the inputs of a credit, that the ledger keeps as text. Throws when it is none. */
export function bigintOf(inputs: Record<string, unknown>, name: string): bigint {
  const value = inputs[name];
  if (typeof value !== 'string' && typeof value !== 'number') throw new Error(`its inputs have no ${name}`);
  return BigInt(value);
}
