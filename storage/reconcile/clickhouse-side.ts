// ClickHouse's side of a reconciliation: counts by lane and minute, and single rows.
import type { ClickHouse } from '../clickhouse/client.js';
import { type MinuteCounts, SEQ_FACTOR, type StoredShare } from './minutes.js';

const PAGE_ROWS = 20_000;

export interface Row extends StoredShare {
  /** How many rows are exactly this one. */
  copies: number;
}

/** Counts by node and minute. fromS, toS: whole minutes, Unix seconds, half-open. */
export async function countClickHouse(
  clickhouse: ClickHouse,
  fromS: number,
  toS: number,
): Promise<Map<number, Map<number, MinuteCounts>>> {
  const rows = await clickhouse.rows<{
    node: number;
    minute: number;
    accepted: string;
    hashes: string;
    rejected: string;
    anonymous: string;
    slices: string;
    row_sum: string;
    last_seq: string;
  }>(
    `SELECT node, toUnixTimestamp(toStartOfMinute(ts)) AS minute, countIf(verdict = 'accepted') AS accepted,
       toString(sumIf(toUInt256(work), verdict = 'accepted')) AS hashes,
       countIf(verdict != 'accepted' AND account != '') AS rejected,
       countIf(verdict != 'accepted' AND account = '') AS anonymous,
       toString(sumWithOverflowIf((1 + toUInt64(if(verdict = 'accepted', work, 0))) * bitOr(reinterpretAsUInt64(reverse(substring(
         MD5(concat(account, '\\n', worker, '\\n', toString(toInt8(verdict)), '\\n',
           if(verdict = 'accepted', toString(round), ''))), 1, 8))), 1), verdict = 'accepted' OR account != '')) AS slices,
       toString(sumWithOverflow(
         if(hash = '', 0, reinterpretAsUInt64(reverse(unhex(substring(hash, 49, 16))))) + seq * toUInt64(${SEQ_FACTOR}))) AS row_sum,
       max(seq) AS last_seq
     FROM submits WHERE ts >= toDateTime64({fromS:Int64}, 3, 'UTC') AND ts < toDateTime64({toS:Int64}, 3, 'UTC')
     GROUP BY node, minute`,
    { fromS, toS },
  );
  const nodes = new Map<number, Map<number, MinuteCounts>>();
  for (const row of rows) {
    const minutes = nodes.get(row.node) ?? new Map<number, MinuteCounts>();
    nodes.set(row.node, minutes);
    minutes.set(Number(row.minute), {
      accepted: Number(row.accepted),
      work: BigInt(row.hashes),
      rejected: Number(row.rejected),
      anonymous: Number(row.anonymous),
      slices: BigInt(row.slices),
      rows: BigInt(row.row_sum),
      lastSeq: Number(row.last_seq),
    });
  }
  return nodes;
}

/** When the last share of `node` before number `seq` was received, Unix milliseconds; 0 when there is none. */
export async function lastBefore(clickhouse: ClickHouse, node: number, seq: number): Promise<number> {
  const [row] = await clickhouse.rows<{ ms: string }>(
    `SELECT toUnixTimestamp64Milli(max(ts)) AS ms FROM submits
     WHERE node = {node:UInt16} AND seq < {seq:UInt64}`,
    { node, seq },
  );
  return Number(row?.ms ?? 0);
}

/** Highest number of `node`, plus one: how far ClickHouse is, when nothing else says so. */
export async function nextSeqOf(clickhouse: ClickHouse, node: number): Promise<number> {
  const [row] = await clickhouse.rows<{ seq: string }>(
    'SELECT max(seq) + 1 AS seq FROM submits WHERE node = {node:UInt16}',
    { node },
  );
  return Number(row?.seq ?? 0);
}

/** Rows of one minute with numbers from `firstSeq` to `lastSeq`, by number. */
export async function rowsOfMinute(
  clickhouse: ClickHouse,
  node: number,
  minute: number,
  firstSeq: number,
  lastSeq: number,
): Promise<Row[]> {
  return await select(
    clickhouse,
    `ts >= toDateTime64({minute:Int64}, 3, 'UTC') AND ts < toDateTime64({minute:Int64} + 60, 3, 'UTC')
     AND seq BETWEEN {firstSeq:UInt64} AND {lastSeq:UInt64}`,
    { node, minute, firstSeq, lastSeq },
  );
}

/** Rows with these numbers at any time. Reads the whole table: for a few, once. */
export async function rowsAnywhere(
  clickhouse: ClickHouse,
  node: number,
  seqs: readonly number[],
): Promise<Row[]> {
  return await select(clickhouse, 'seq IN {seqs:Array(UInt64)}', { node, seqs });
}

/** All rows of one minute, by number, some thousands at a time. */
export async function* clickhouseShares(
  clickhouse: ClickHouse,
  node: number,
  minute: number,
): AsyncGenerator<Row[]> {
  for (let after = -1; ; ) {
    const page = await select(
      clickhouse,
      `ts >= toDateTime64({minute:Int64}, 3, 'UTC') AND ts < toDateTime64({minute:Int64} + 60, 3, 'UTC')
       AND seq >= {after:UInt64}`,
      { node, minute, after: after + 1 },
      `LIMIT ${PAGE_ROWS} WITH TIES`,
    );
    if (page.length > 0) yield page;
    if (page.length < PAGE_ROWS) return;
    after = page.at(-1)?.seq ?? after;
  }
}

async function select(
  clickhouse: ClickHouse,
  condition: string,
  parameters: Record<string, unknown>,
  limit = '',
): Promise<Row[]> {
  const rows = await clickhouse.rows<
    Record<'seq' | 'name' | 'hashes' | 'account' | 'worker' | 'round' | 'hash' | 'ms' | 'copies', string>
  >(
    `SELECT seq, toString(verdict) AS name, toString(work) AS hashes, account, worker, round, hash,
       toUnixTimestamp64Milli(ts) AS ms, count() AS copies
     FROM submits WHERE node = {node:UInt16} AND ${condition}
     GROUP BY seq, name, hashes, account, worker, round, hash, ms ORDER BY seq ${limit}`,
    parameters,
  );
  return rows.map((row) => ({
    seq: Number(row.seq),
    verdict: row.name,
    work: BigInt(row.hashes),
    account: row.account,
    worker: row.worker,
    round: Number(row.round),
    hash: row.hash,
    ms: Number(row.ms),
    copies: Number(row.copies),
  }));
}
