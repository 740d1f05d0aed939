// Reads for people: what /api/stats, the page and the live line show of the pool. Never used for money.
import type { Database } from './connection.js';

/** Accepted work of one minute. */
export interface MinuteOfWork {
  minute: Date;
  shares: number;
  /** Hashes; a float is enough for a hashrate. */
  work: number;
}

export interface AccountFigures {
  account: string;
  /** Accepted since the first start. */
  shares: number;
  /** To the minute, of accepted shares. */
  firstShareAt: Date;
  lastShareAt: Date;
  /** Accepted within the window asked for. */
  windowShares: number;
  windowWork: number;
}

export interface RoundFigures {
  /** Accepted work of all nodes since the last block candidate, in hashes. */
  work: bigint;
  /** Minute of its first share; null while it has none. */
  startedAt: Date | null;
}

export interface PayoutFigures {
  /** Payouts on the chain; `confirmed` counts Lightning payments that arrived, too. */
  byStatus: Record<string, number>;
  paidSats: bigint;
  networkFeesSats: bigint;
  /** Of the last one on the chain. */
  lastAt: Date | null;
  lastTxid: string | null;
}

export class PoolFigures {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Accepted work by minute since `since`, oldest first. */
  async minutes(since: Date): Promise<MinuteOfWork[]> {
    return await this.#database<MinuteOfWork[]>`
      select bucket_start as minute, sum(shares)::integer as shares, sum(work)::double precision as work
      from work_slices where bucket_start >= ${since} group by bucket_start order by bucket_start`;
  }

  /** Accounts by work since `since` (a full minute), largest first; `limit` at most. */
  async accounts(since: Date, limit: number): Promise<AccountFigures[]> {
    return await this.#database<AccountFigures[]>`
      select a.name as account, t.shares::double precision as shares, t.first as "firstShareAt", t.last as "lastShareAt",
             coalesce(w.shares, 0)::double precision as "windowShares",
             coalesce(w.work, 0)::double precision as "windowWork"
      from (select account_id, sum(shares) as shares, min(bucket_start) as first, max(bucket_start) as last
            from work_slices group by account_id) t
      join accounts a on a.id = t.account_id
      left join (select account_id, sum(shares) as shares, sum(work) as work
                 from work_slices where bucket_start >= ${since} group by account_id) w
        on w.account_id = t.account_id
      order by coalesce(w.work, 0) desc, a.name limit ${limit}`;
  }

  /** The round that the pool is in, as far as booked. */
  async round(): Promise<RoundFigures> {
    const [row] = await this.#database<{ work: bigint; startedAt: Date | null }[]>`
      select coalesce(sum(work), 0) as work, min(bucket_start) as "startedAt"
      from work_slices where round > coalesce((select max(round) from blocks), -1)`;
    return { work: BigInt(row?.work ?? 0n), startedAt: row?.startedAt ?? null };
  }

  /** Accepted shares booked, by node. A node without any is absent. */
  async acceptedByNode(): Promise<Map<number, number>> {
    const rows = await this.#database<{ nodeId: number; shares: number }[]>`
      select node_id as "nodeId", shares::double precision as shares from share_totals where verdict = 1`;
    return new Map(rows.map(({ nodeId, shares }) => [nodeId, shares]));
  }

  async payouts(): Promise<PayoutFigures> {
    const rows = await this.#database<{ status: string; count: number; fees: bigint }[]>`
      select status, count(*)::integer as count,
             coalesce(sum(network_fee_sats) filter (where status = 'confirmed'), 0)::bigint as fees
      from payouts group by status`;
    const [last] = await this.#database<{ at: Date; txid: string }[]>`
      select confirmed_at as at, txid from payouts where status = 'confirmed'
      order by confirmed_at desc limit 1`;
    const [paid] = await this.#database<{ sats: bigint }[]>`
      select coalesce(sum(o.sent_sats), 0)::bigint as sats
      from payout_outputs o join payouts p on p.id = o.payout_id where p.status = 'confirmed'`;
    const [lightning] = await this.#database<{ count: number; sats: bigint; fees: bigint }[]>`
      select count(*)::integer as count, coalesce(sum(sent_sats), 0)::bigint as sats,
             div(coalesce(sum(fee_msat), 0), 1000)::bigint as fees
      from lightning_payments where status = 'paid'`;
    const byStatus = Object.fromEntries(rows.map(({ status, count }) => [status, count]));
    const arrived = lightning?.count ?? 0;
    if (arrived > 0) byStatus.confirmed = (byStatus.confirmed ?? 0) + arrived;
    return {
      byStatus,
      paidSats: (paid?.sats ?? 0n) + (lightning?.sats ?? 0n),
      networkFeesSats: rows.reduce((sum, { fees }) => sum + fees, lightning?.fees ?? 0n),
      lastAt: last?.at ?? null,
      lastTxid: last?.txid ?? null,
    };
  }
}
