// Postgres' side of a reconciliation: counts by lane and minute, and the slices of one minute. Reads only.
import { verdictByCode } from '../../engine/work/verdict.js';
import type { Database } from '../postgres/connection.js';
import { LEDGER_CONSUMER } from '../postgres/work-store.js';
import type { MinuteCounts } from './minutes.js';

/** Work of one worker in a round, or its refused submits of one verdict, within one minute. */
export interface Slice {
  account: string;
  worker: string;
  /** Null for refused submits, which have none here. */
  round: number | null;
  verdict: string;
  shares: number;
  work: bigint;
  /** 0 for refused submits. */
  firstSeq: number;
  lastSeq: number;
}

/** Sequence number of the next share to book, by node. */
export async function bookedUpTo(database: Database): Promise<Map<number, number>> {
  const rows = await database<{ node: number; nextSeq: bigint }[]>`
    select node_id as node, next_seq as "nextSeq" from shipper_cursor where consumer = ${LEDGER_CONSUMER}`;
  return new Map(rows.map(({ node, nextSeq }) => [node, Number(nextSeq)]));
}

/** Counts by node and minute. fromS, toS: whole minutes, Unix seconds, half-open. */
export async function countPostgres(
  database: Database,
  fromS: number,
  toS: number,
): Promise<Map<number, Map<number, MinuteCounts>>> {
  // One statement, one snapshot: both tables as of the same commit.
  const rows = await database<
    {
      node: number;
      minute: bigint;
      accepted: bigint;
      work: bigint;
      rejected: bigint;
      lastSeq: bigint;
      slices: bigint;
    }[]
  >`
    select node, extract(epoch from bucket)::bigint as minute, sum(accepted)::bigint as accepted, sum(work) as work,
      sum(rejected)::bigint as rejected, max(last_seq)::bigint as "lastSeq",
      sum((accepted + rejected + work) * key) % 18446744073709551616 as slices
    from (
      select node, bucket, accepted, work, rejected, last_seq,
        -- The first 8 bytes of the MD5 as a number without sign, odd (minutes.ts).
        (select (('x' || lpad(substr(sum, 1, 8), 16, '0'))::bit(64)::bigint::numeric * 4294967296
          + (('x' || lpad(substr(sum, 9, 8), 16, '0'))::bit(64)::bigint | 1)) from (select md5(name) as sum) as m) as key
      from (
      select node_id as node, bucket_start as bucket, shares as accepted, work, 0 as rejected, last_seq,
        a.name || E'\\n' || w.name || E'\\n1\\n' || round as name
      from work_slices s join accounts a on a.id = s.account_id join workers w on w.id = s.worker_id
      where bucket_start >= to_timestamp(${fromS}) and bucket_start < to_timestamp(${toS})
      union all
      select node_id, bucket_start, 0, 0, shares, 0,
        a.name || E'\\n' || w.name || E'\\n' || verdict || E'\\n'
      from reject_slices s join accounts a on a.id = s.account_id join workers w on w.id = s.worker_id
      where bucket_start >= to_timestamp(${fromS}) and bucket_start < to_timestamp(${toS})
      ) as named
    ) as keyed group by node, bucket`;
  const nodes = new Map<number, Map<number, MinuteCounts>>();
  for (const row of rows) {
    const minutes = nodes.get(row.node) ?? new Map<number, MinuteCounts>();
    nodes.set(row.node, minutes);
    minutes.set(Number(row.minute), {
      accepted: Number(row.accepted),
      work: BigInt(row.work),
      rejected: Number(row.rejected),
      anonymous: null,
      slices: BigInt(row.slices),
      rows: null,
      lastSeq: Number(row.lastSeq),
    });
  }
  return nodes;
}

/** The slices of one minute of one node. */
export async function slicesOfMinute(database: Database, node: number, minute: number): Promise<Slice[]> {
  const rows = await database<
    {
      account: string;
      worker: string;
      round: bigint | null;
      verdict: number;
      shares: bigint;
      work: bigint;
      firstSeq: bigint;
      lastSeq: bigint;
    }[]
  >`
    select a.name as account, w.name as worker, s.round, s.verdict, s.shares, s.work,
      s.first_seq as "firstSeq", s.last_seq as "lastSeq"
    from (
      select account_id, worker_id, round, 1::smallint as verdict, sum(shares)::bigint as shares, sum(work) as work,
        min(first_seq) as first_seq, max(last_seq) as last_seq
      from work_slices where node_id = ${node} and bucket_start = to_timestamp(${minute})
      group by account_id, worker_id, round
      union all
      select account_id, worker_id, null::bigint, verdict, shares, 0, 0, 0 from reject_slices
      where node_id = ${node} and bucket_start = to_timestamp(${minute})
    ) as s join accounts a on a.id = s.account_id join workers w on w.id = s.worker_id`;
  return rows.map((row) => ({
    account: row.account,
    worker: row.worker,
    round: row.round === null ? null : Number(row.round),
    verdict: verdictByCode(row.verdict).name,
    shares: Number(row.shares),
    work: BigInt(row.work),
    firstSeq: Number(row.firstSeq),
    lastSeq: Number(row.lastSeq),
  }));
}
