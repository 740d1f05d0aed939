// Pays PPS, PPS+ and FPPS work out of the reserve, each share once. `WorkStore.applyBatch` adds work to
// `expected_work` in the transaction that moves its node's cursor; a credit locks the cursors, reads and deletes rows
// and posts the ledger lines, in one transaction. So a share is in a row or in a credit, never in both or in none.
//
// What a credit covers can be recomputed from raw shares: its inputs name for each (scheme, height, bits) and node
// the range of sequence numbers [from, to) in which all accepted shares of that scheme, height and bits are in it.

import {
  type CarryQ64,
  type ExpectedPayEntry,
  expectedValue,
  settleExpectedPay,
} from '../../engine/accounting/expected-pay.js';
import { FEE_EPOCH_BLOCKS } from '../../engine/accounting/fee-average.js';
import { expectedPayLines } from '../../engine/accounting/ledger-entries.js';
import { SCHEME_RULES, type Scheme } from '../../engine/accounting/schemes.js';
import { targetFromBits } from '../../engine/bitcoin/target.js';
import { readTerms, type SchemeFees } from './account-terms.js';
import type { Database, Fragment, Transaction } from './connection.js';
import { postLedger } from './ledger-store.js';
import { LEDGER_CONSUMER } from './work-store.js';

export interface ExpectedPayTerms {
  /** New coins of the block at `height`. */
  subsidySats: (height: number) => bigint;
  /** Pool fee by scheme; an account may have its own. */
  feePpm: SchemeFees;
}

export type ExpectedPayResult =
  /** `more`: heights are left that did not fit into one credit; call again. */
  | { status: 'paid'; totalSats: bigint; shares: bigint; accounts: number; more: boolean }
  /** No work waits, or what waits makes no whole satoshi yet. */
  | { status: 'nothing' }
  /** The reserve does not cover it: nothing was paid, all of it waits. */
  | { status: 'short'; owedSats: bigint; reserveSats: bigint }
  /** All that waits is FPPS work of epochs whose average fees are not stored yet. */
  | { status: 'not_ready' };

export interface OwedPay {
  /**
   * What the reserve owes for booked work, fees and donations in it. FPPS work whose average fees are not known yet
   * counts with the latest average.
   */
  sats: bigint;
  shares: bigint;
  /** Of these, shares that wait for average fees. */
  notReadyShares: bigint;
}

/** Work of one account on one height, all nodes. */
interface AccountWork {
  account: number;
  shares: bigint;
  work: bigint;
}

/** What a credit pays by one rule: one scheme, height and network target. */
interface PaidPart {
  scheme: Scheme;
  height: number;
  bits: number;
  subsidySats: bigint;
  /** Null for schemes that pay no average fees. */
  averageFeesSats: bigint | null;
  ranges: { node: number; from: bigint; to: bigint }[];
  work: AccountWork[];
}

interface WaitingRow {
  nodeId: number;
  accountId: number;
  scheme: Scheme;
  height: number;
  bits: bigint;
  averageFeesSats: bigint | null;
  shares: bigint;
  work: bigint;
  firstSeq: bigint;
  lastSeq: bigint;
}

const Q64 = 1n << 64n;
const CHECK_VIOLATION = '23514';

export class ExpectedPayStore {
  readonly #database: Database;
  readonly #rowsMax: number;

  /** `rowsMax`: a credit takes whole heights, oldest first, and no further one past this many rows of work. */
  constructor(database: Database, rowsMax = 20_000) {
    this.#database = database;
    this.#rowsMax = rowsMax;
  }

  /** Pays what waits and can be paid, with fees and donations as they are set now. Throws when Postgres does. */
  async creditExpectedPay(terms: ExpectedPayTerms): Promise<ExpectedPayResult> {
    try {
      return await this.#database.begin((tx) => this.#credit(tx, terms));
    } catch (error) {
      // Something else took from the reserve meanwhile (a reorg): nothing was paid.
      const { code, constraint_name: constraint } = error as { code?: string; constraint_name?: string };
      if (code !== CHECK_VIOLATION || constraint !== 'balance_not_negative') throw error;
      const owedSats = (await this.owed(terms)).sats;
      return { status: 'short', owedSats, reserveSats: await readReserve(this.#database) };
    }
  }

  async #credit(tx: Transaction, terms: ExpectedPayTerms): Promise<ExpectedPayResult> {
    // No batch is half in what is read, and two credits take turns. A node that is new meanwhile is for the next.
    const nodes = await tx<{ nodeId: number }[]>`
      select node_id as "nodeId" from shipper_cursor where consumer = ${LEDGER_CONSUMER}
      order by node_id for update`;
    const isOurs = tx`w.node_id = any(${nodes.map(({ nodeId }) => nodeId)}::integer[])`;
    const { lastHeight, more, waits } = await this.#heights(tx, isOurs);
    if (lastHeight === null) return { status: waits ? 'not_ready' : 'nothing' };

    const rows = await tx<WaitingRow[]>`
      select w.node_id as "nodeId", w.account_id as "accountId", w.scheme, w.height, w.bits, w.shares, w.work,
             w.first_seq as "firstSeq", w.last_seq as "lastSeq", f.average_fees_sats as "averageFeesSats"
      from expected_work w ${withAverage(tx)}
      where ${isOurs} and ${isReady(tx)} and w.height <= ${lastHeight}
      order by w.height, w.scheme, w.bits, w.account_id, w.node_id`;
    const first = rows[0] as WaitingRow;
    const parts = partsOf(rows, terms);
    const termsOf = await readTerms(tx, new Set(rows.map(({ accountId }) => accountId)), terms.feePpm);
    const entries = parts.flatMap((part) =>
      entriesOf(part).map((e) => ({ ...e, ...termsOf(e.accountId, e.scheme) })),
    );
    const before = await readCarries(tx, rows);
    const reserveSats = await readReserve(tx);
    const settled = settleExpectedPay(entries, before, reserveSats);
    if (settled.short) return { status: 'short', owedSats: settled.totalSats, reserveSats };
    if (settled.totalSats === 0n) return { status: 'nothing' };

    const deleted = await tx`
      delete from expected_work w using unnest(
        ${rows.map((r) => r.nodeId)}::integer[], ${rows.map((r) => r.accountId)}::integer[],
        ${rows.map((r) => r.scheme as string)}::text[], ${rows.map((r) => r.height)}::integer[],
        ${rows.map((r) => r.bits.toString())}::bigint[]
      ) as paid (node_id, account_id, scheme, height, bits)
      where w.node_id = paid.node_id and w.account_id = paid.account_id and w.scheme = paid.scheme
        and w.height = paid.height and w.bits = paid.bits`;
    if (deleted.count !== rows.length) {
      throw new Error(`expected pay: ${deleted.count} of ${rows.length} rows of work were there to be paid`);
    }
    await writeCarries(tx, settled.carries);
    await postLedger(tx, {
      kind: 'expected_pay',
      // The first share that it pays: no other credit may pay that one.
      key: `expected:${first.nodeId}:${first.scheme}:${first.height}:${first.bits}:${first.firstSeq}`,
      rule:
        `${[...new Set(parts.map(({ scheme }) => scheme))].map((scheme) => SCHEME_RULES[scheme]).join('. ')}. ` +
        'For each account, scheme, height and bits: floor(work x reward x 2^64 / network work) in 2^-64 sat; ' +
        'what makes no whole satoshi is carried',
      inputs: {
        parts,
        terms: termsIn(entries),
        carriedIn: Object.fromEntries(before),
        carriedOut: Object.fromEntries(settled.carries),
        totalSats: settled.totalSats,
        reserveSats,
      },
      lines: expectedPayLines(settled.pays),
    });
    const shares = rows.reduce((sum, row) => sum + row.shares, 0n);
    return { status: 'paid', totalSats: settled.totalSats, shares, accounts: settled.pays.length, more };
  }

  /** Up to which height one credit goes. Null when nothing can be paid; `waits`: there is work all the same. */
  async #heights(tx: Transaction, isOurs: Fragment) {
    const heights = await tx<{ height: number; ready: bigint }[]>`
      select w.height, count(*) filter (where ${isReady(tx)}) as ready
      from expected_work w ${withAverage(tx)} where ${isOurs} group by w.height order by w.height`;
    const payable = heights.filter(({ ready }) => ready > 0n);
    let count = 0n;
    let taken = 0;
    for (const { ready } of payable) {
      count += ready;
      if (taken > 0 && count > BigInt(this.#rowsMax)) break;
      taken++;
    }
    return {
      lastHeight: payable[taken - 1]?.height ?? null,
      more: taken < payable.length,
      waits: heights.length > 0,
    };
  }

  /** What the reserve owes for work that is booked and not paid, to be shown. */
  async owed({ subsidySats }: Pick<ExpectedPayTerms, 'subsidySats'>): Promise<OwedPay> {
    const database = this.#database;
    const rows = await database<
      {
        scheme: Scheme;
        height: number;
        bits: bigint;
        isReady: boolean;
        average: bigint;
        shares: bigint;
        work: bigint;
      }[]
    >`
      select w.scheme, w.height, w.bits, ${isReady(database)} as "isReady", sum(w.shares)::bigint as shares,
             sum(w.work) as work,
             case when w.height < ${FEE_EPOCH_BLOCKS} then 0 else coalesce(f.average_fees_sats, (
               select average_fees_sats from fee_averages order by epoch desc limit 1), 0) end as average
      from expected_work w ${withAverage(database)}
      group by w.scheme, w.height, w.bits, f.epoch, f.average_fees_sats`;
    const [carried] = await database<{ q64: bigint }[]>`
      select coalesce(sum(miner_q64 + fee_q64 + donation_q64), 0) as q64 from expected_carry`;
    let q64 = carried?.q64 ?? 0n;
    let shares = 0n;
    let notReadyShares = 0n;
    for (const row of rows) {
      q64 += expectedValue({
        scheme: row.scheme,
        work: row.work,
        subsidySats: subsidySats(row.height),
        averageFeesSats: row.average,
        networkTarget: targetFromBits(Number(row.bits)),
      });
      shares += row.shares;
      if (!row.isReady) notReadyShares += row.shares;
    }
    return { sats: q64 / Q64, shares, notReadyShares };
  }
}

/** Satoshis in the reserve that are there to be paid. */
export async function readReserve(tx: Database | Transaction): Promise<bigint> {
  const [row] = await tx<{ sats: bigint }[]>`
    select coalesce(sum(balance_sats), 0)::bigint as sats from ledger_balances where kind = 'reserve'`;
  return row?.sats ?? 0n;
}

/** The average fees of the epoch before the work's own, for FPPS alone. */
function withAverage(tx: Database | Transaction): Fragment {
  return tx`
    left join fee_averages f
      on w.scheme = 'fpps' and f.epoch = w.height / ${FEE_EPOCH_BLOCKS}::integer - 1`;
}

function isReady(tx: Database | Transaction): Fragment {
  return tx`(w.scheme <> 'fpps' or w.height < ${FEE_EPOCH_BLOCKS} or f.epoch is not null)`;
}

/** `rows` in the order of the query: rows of one part, and in it those of one account, are neighbours. */
function partsOf(rows: readonly WaitingRow[], { subsidySats }: ExpectedPayTerms): PaidPart[] {
  const parts: PaidPart[] = [];
  let part: PaidPart | undefined;
  for (const row of rows) {
    const { scheme, height, shares, work } = row;
    const bits = Number(row.bits);
    if (part?.scheme !== scheme || part.height !== height || part.bits !== bits) {
      const averageFeesSats = scheme === 'fpps' ? (row.averageFeesSats ?? 0n) : null;
      part = {
        scheme,
        height,
        bits,
        subsidySats: subsidySats(height),
        averageFeesSats,
        ranges: [],
        work: [],
      };
      parts.push(part);
    }
    const range = part.ranges.find(({ node }) => node === row.nodeId);
    const to = row.lastSeq + 1n;
    if (range === undefined) part.ranges.push({ node: row.nodeId, from: row.firstSeq, to });
    else {
      if (row.firstSeq < range.from) range.from = row.firstSeq;
      if (to > range.to) range.to = to;
    }
    const last = part.work.at(-1);
    if (last?.account === row.accountId) {
      last.shares += shares;
      last.work += work;
    } else part.work.push({ account: row.accountId, shares, work });
  }
  return parts;
}

function entriesOf(part: PaidPart): Omit<ExpectedPayEntry, 'feePpm' | 'donationPpm'>[] {
  const { scheme, subsidySats } = part;
  const averageFeesSats = part.averageFeesSats ?? 0n;
  const networkTarget = targetFromBits(part.bits);
  return part.work.map(({ account, work }) => ({
    accountId: account,
    scheme,
    valueQ64: expectedValue({ scheme, work, subsidySats, averageFeesSats, networkTarget }),
  }));
}

/** Fee and donation by account and scheme, each once. */
function termsIn(entries: readonly ExpectedPayEntry[]) {
  const terms = new Map<string, object>();
  for (const { accountId, scheme, feePpm, donationPpm } of entries) {
    terms.set(`${accountId} ${scheme}`, { account: accountId, scheme, feePpm, donationPpm });
  }
  return [...terms.values()];
}

async function readCarries(tx: Transaction, rows: readonly WaitingRow[]): Promise<Map<number, CarryQ64>> {
  const ids = [...new Set(rows.map(({ accountId }) => accountId))];
  const carries = await tx<(CarryQ64 & { accountId: number })[]>`
    select account_id as "accountId", miner_q64 as "minerQ64", fee_q64 as "feeQ64", donation_q64 as "donationQ64"
    from expected_carry where account_id = any(${ids}::integer[])`;
  return new Map(carries.map(({ accountId, ...carry }) => [accountId, carry]));
}

async function writeCarries(tx: Transaction, carries: ReadonlyMap<number, CarryQ64>): Promise<void> {
  const of = [...carries.values()];
  await tx`
    insert into expected_carry (account_id, miner_q64, fee_q64, donation_q64)
    select * from unnest(
      ${[...carries.keys()]}::integer[], ${of.map((c) => c.minerQ64.toString())}::numeric[],
      ${of.map((c) => c.feeQ64.toString())}::numeric[], ${of.map((c) => c.donationQ64.toString())}::numeric[])
    on conflict (account_id) do update set
      miner_q64 = excluded.miner_q64, fee_q64 = excluded.fee_q64, donation_q64 = excluded.donation_q64`;
}
