// Credits as the ledger has them: what they posted, and by which inputs. Long lists are streamed.
import type { Database, Fragment } from '../../storage/postgres/connection.js';
import type { ShortSlices } from './short-slices.js';
import type { CreditVerdict } from './verdict.js';

export interface Credit {
  id: bigint;
  key: string;
  kind: CreditVerdict['kind'];
  blockHash: string | null;
  postedAt: Date;
  /** Without the lists (`LISTS`). Numbers of satoshis and hashes are text. */
  inputs: Record<string, unknown>;
}

/** Inputs that grow with the number of miners. */
const LISTS = ['parts', 'terms', 'carriedIn', 'carriedOut'];
export const PAGE_ROWS = 200;

/** Which credits: of one UTC day, with one key, of one block, all; those posted after `afterId`. */
export type CreditChoice = { afterId?: bigint } & (
  | { day: string }
  | { key: string }
  | { blockHash: string }
  | { all: true }
);

/** In the order they were posted, `limit` at most. */
export async function readCredits(
  database: Database,
  choice: CreditChoice,
  limit: number,
): Promise<Credit[]> {
  return await database<Credit[]>`
    select t.id, t.idempotency_key as key, t.kind, t.block_hash as "blockHash", t.created_at as "postedAt",
           t.inputs - ${LISTS}::text[] as inputs
    from ledger_transactions t where ${chosen(database, choice)} order by t.id limit ${limit}`;
}

export async function countCredits(database: Database, choice: CreditChoice): Promise<number> {
  const [row] = await database<{ count: number }[]>`
    select count(*)::integer as count from ledger_transactions t where ${chosen(database, choice)}`;
  return row?.count ?? 0;
}

function chosen(database: Database, choice: CreditChoice): Fragment {
  const isNext = database`t.kind in ('block_credit', 'expected_pay') and t.id > ${choice.afterId ?? 0n}`;
  if ('day' in choice) {
    return database`${isNext} and t.created_at >= ${choice.day}::date and t.created_at < ${choice.day}::date + 1`;
  }
  if ('key' in choice) return database`${isNext} and t.idempotency_key = ${choice.key}`;
  if ('blockHash' in choice) return database`${isNext} and t.block_hash = ${choice.blockHash}`;
  return isNext;
}

/** Satoshis by ledger account, as `lineKey` names them. */
export type Lines = Map<string, bigint>;

export const lineKey = (kind: string, accountId: number | null): string => `${kind} ${accountId ?? ''}`;

export function addLine(lines: Lines, kind: string, accountId: number | null, sats: bigint): void {
  if (sats === 0n) return;
  const key = lineKey(kind, accountId);
  lines.set(key, (lines.get(key) ?? 0n) + sats);
}

/** What the ledger transaction with this key posted. Empty when there is none. */
export async function readLines(database: Database, key: string, slices: ShortSlices): Promise<Lines> {
  const lines: Lines = new Map();
  const pages = database<{ kind: string; accountId: number | null; sats: bigint }[]>`
    select a.kind, a.account_id as "accountId", l.amount_sats as sats
    from ledger_transactions t join ledger_lines l on l.transaction_id = t.id
    join ledger_accounts a on a.id = l.ledger_account_id
    where t.idempotency_key = ${key}`.cursor(PAGE_ROWS);
  for await (const page of pages) {
    slices.begin();
    for (const { kind, accountId, sats } of page) addLine(lines, kind, accountId, sats);
  }
  slices.begin();
  return lines;
}

/** One account's work under one scheme in the window, as the ledger wrote it down. */
export interface WindowEntry {
  account: number;
  scheme: string;
  weight: bigint;
  feePpm: number;
  donationPpm: number;
}

export async function readWindowEntries(
  database: Database,
  id: bigint,
  slices: ShortSlices,
): Promise<WindowEntry[]> {
  return await streamed(
    database<WindowEntry[]>`
      select (p->>'account')::integer as account, p->>'scheme' as scheme, (p->>'weight')::numeric as weight,
             (p->>'feePpm')::integer as "feePpm", (p->>'donationPpm')::integer as "donationPpm"
      from ledger_transactions t cross join lateral jsonb_array_elements(t.inputs->'parts') p
      where t.id = ${id}`.cursor(PAGE_ROWS),
    slices,
  );
}

/** What an expected-pay credit pays by one rule, without the work of the accounts. */
export interface PaidPart {
  /** Place in the credit's list. */
  place: number;
  scheme: string;
  height: number;
  bits: number;
  subsidySats: bigint;
  averageFeesSats: bigint | null;
  /** Sequence numbers by node, [from, to). */
  ranges: { node: number; from: string; to: string }[];
}

export async function readPaidParts(
  database: Database,
  id: bigint,
  slices: ShortSlices,
): Promise<PaidPart[]> {
  const rows = await streamed(
    database<(Omit<PaidPart, 'bits' | 'place'> & { bits: bigint; place: bigint })[]>`
      select ordinality as place, p->>'scheme' as scheme, (p->>'height')::integer as height,
             (p->>'bits')::bigint as bits, (p->>'subsidySats')::bigint as "subsidySats",
             (p->>'averageFeesSats')::bigint as "averageFeesSats", p->'ranges' as ranges
      from ledger_transactions t
      cross join lateral jsonb_array_elements(t.inputs->'parts') with ordinality as list (p)
      where t.id = ${id}`.cursor(PAGE_ROWS),
    slices,
  );
  return rows.map((row) => ({ ...row, bits: Number(row.bits), place: Number(row.place) }));
}

/** Work by account of the part at `place`, in hashes. */
export async function readPaidWork(
  database: Database,
  id: bigint,
  place: number,
  slices: ShortSlices,
): Promise<Map<number, bigint>> {
  const rows = await streamed(
    database<{ account: number; work: bigint }[]>`
      select (w->>'account')::integer as account, (w->>'work')::numeric as work
      from ledger_transactions t
      cross join lateral jsonb_array_elements(t.inputs->'parts'->${place - 1}::integer->'work') w
      where t.id = ${id}`.cursor(PAGE_ROWS),
    slices,
  );
  return new Map(rows.map(({ account, work }) => [account, work]));
}

export interface RecordedTerms {
  account: number;
  scheme: string;
  feePpm: number;
  donationPpm: number;
}

export async function readRecordedTerms(
  database: Database,
  id: bigint,
  slices: ShortSlices,
): Promise<RecordedTerms[]> {
  return await streamed(
    database<RecordedTerms[]>`
      select (p->>'account')::integer as account, p->>'scheme' as scheme, (p->>'feePpm')::integer as "feePpm",
             (p->>'donationPpm')::integer as "donationPpm"
      from ledger_transactions t cross join lateral jsonb_array_elements(t.inputs->'terms') p
      where t.id = ${id}`.cursor(PAGE_ROWS),
    slices,
  );
}

/** Fractions of a satoshi in units of 2^-64. */
export interface Carry {
  miner: bigint;
  fee: bigint;
  donation: bigint;
}

interface CarryRow extends Carry {
  account: number;
}

const CARRY = `(c.key)::integer as account, (c.value->>'minerQ64')::numeric as miner,
  (c.value->>'feeQ64')::numeric as fee, (c.value->>'donationQ64')::numeric as donation`;

export async function readCarries(
  database: Database,
  id: bigint,
  list: 'carriedIn' | 'carriedOut',
  slices: ShortSlices,
): Promise<Map<number, Carry>> {
  const rows = await streamed(
    database<CarryRow[]>`
      select ${database.unsafe(CARRY)}
      from ledger_transactions t cross join lateral jsonb_each(t.inputs->${list}) c
      where t.id = ${id}`.cursor(PAGE_ROWS),
    slices,
  );
  return new Map(rows.map(({ account, ...carry }) => [account, carry]));
}

/**
 * What the expected-pay credits before `id` left to `accounts`: of each the newest. Goes back until all are found,
 * `creditsMax` credits at most.
 */
export async function readCarriesBefore(
  database: Database,
  id: bigint,
  accounts: readonly number[],
  creditsMax: number,
  slices: ShortSlices,
): Promise<Map<number, Carry>> {
  const found = new Map<number, Carry>();
  const pages = database<CarryRow[]>`
    select ${database.unsafe(CARRY)}
    from (
      select id, inputs->'carriedOut' as carried from ledger_transactions
      where kind = 'expected_pay' and id < ${id} order by id desc limit ${creditsMax}
    ) t cross join lateral jsonb_each(t.carried) c
    where c.key = any(${accounts.map(String)}::text[])
    order by t.id desc`.cursor(PAGE_ROWS);
  for await (const page of pages) {
    slices.begin();
    for (const { account, ...carry } of page) if (!found.has(account)) found.set(account, carry);
    if (found.size === accounts.length) break;
  }
  slices.begin();
  return found;
}

async function streamed<Row>(pages: AsyncIterable<Row[]>, slices: ShortSlices): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const page of pages) rows.push(...page);
  slices.begin();
  return rows;
}
