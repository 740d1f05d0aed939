// What `millrace payout status` shows beside the payouts themselves. Reads only.
import type { Database, Transaction } from './connection.js';
import type { SweepStatus } from './sweep-store.js';

export interface SweepRow {
  id: bigint;
  status: SweepStatus;
  address: string;
  sentSats: bigint;
  txid: string | null;
  reason: string;
  plannedAt: Date;
}

export interface DailyUse {
  /** Reserved on the chain within 24 hours, failed ones left out. */
  onChainSats: bigint;
  /** Planned by Lightning within 24 hours, failed ones left out. */
  lightningSats: bigint;
}

/** Newest first. */
export async function latestSweeps(database: Database, limit: number): Promise<SweepRow[]> {
  return await database<SweepRow[]>`
    select id, status, address, sent_sats as "sentSats", txid, reason, planned_at as "plannedAt"
    from wallet_sweeps order by id desc limit ${limit}`;
}

export async function dailyUse(database: Database): Promise<DailyUse> {
  const [row] = await database<DailyUse[]>`
    select (select coalesce(sum(o.amount_sats), 0) from payouts p join payout_outputs o on o.payout_id = p.id
            where p.reserved_at > now() - interval '24 hours' and p.status <> 'failed')::bigint as "onChainSats",
           (select coalesce(sum(amount_sats), 0) from lightning_payments
            where planned_at > now() - interval '24 hours' and status <> 'failed')::bigint as "lightningSats"`;
  if (row === undefined) throw new Error('Postgres returned no sums');
  return row;
}

/** Copies of the PSBT handed in, by payout and key holder. */
export async function handedIn(database: Database, ids: readonly bigint[]): Promise<Map<bigint, string[]>> {
  const rows = await database<{ payoutId: bigint; actor: string }[]>`
    select payout_id as "payoutId", actor from payout_signatures
    where payout_id = any(${ids.map(String)}::bigint[]) order by payout_id, added_at, actor`;
  const by = new Map<bigint, string[]>();
  for (const { payoutId, actor } of rows) by.set(payoutId, [...(by.get(payoutId) ?? []), actor]);
  return by;
}

/** Confirmed balances, all accounts together. */
export async function confirmedBalances(
  database: Database | Transaction,
): Promise<{ accounts: number; sats: bigint }> {
  const [row] = await database<{ accounts: number; sats: bigint }[]>`
    select count(*)::integer as accounts, coalesce(sum(balance_sats), 0)::bigint as sats
    from ledger_balances where kind = 'miner_confirmed' and balance_sats > 0`;
  return row ?? { accounts: 0, sats: 0n };
}

/** Which rail carries a payout; null until coins are reserved, and where there is no such payout. */
export async function railOf(database: Database, id: bigint): Promise<string | null> {
  const [row] = await database<{ rail: string | null }[]>`select rail from payouts where id = ${id}`;
  return row?.rail ?? null;
}

/** Accounts that are paid by Lightning. */
export async function lightningAccounts(database: Database): Promise<number> {
  const [row] = await database<{ accounts: number }[]>`
    select count(*)::integer as accounts from lightning_destinations`;
  return row?.accounts ?? 0;
}

/** Height that the ledger knows of, for figures beside a node; null in a pool that never worked. */
export async function knownHeight(database: Database): Promise<number | null> {
  const [row] = await database<{ height: number | null }[]>`
    select greatest((select max(height) from blocks), (select max(height) from expected_work),
                    (select max(last_height) from fee_averages)) as height`;
  return row?.height ?? null;
}
