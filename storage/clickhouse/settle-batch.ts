// Makes a batch that may have been sent before be there once. ClickHouse drops a repeated insert by its token, but
// without Keeper it writes rows and token one after the other: killed in between, it doubles the batch or believes that
// it has it. So the rows themselves are counted after an insert whose forerunner may have been cut off, and put right.
import type { JournalBatch } from '../journal/batch.js';
import { SHARE, SHARE_RECORD_BYTES } from '../journal/record.js';
import type { ClickHouse } from './client.js';
import { nativeBlocks, SUBMIT_COLUMNS } from './native.js';
import { isKept, tableFacts } from './retention.js';
import { type NodeSpan, repairSums } from './sums.js';

/** A token that a kill used up needs another one; each further one needs a further kill. */
const ATTEMPTS_MAX = 5;

export async function insertBatch(clickhouse: ClickHouse, batch: JournalBatch, token = batch.token) {
  await clickhouse.insertNative('submits', SUBMIT_COLUMNS, nativeBlocks(batch), token);
}

/** When its shares were received: first and last, Unix milliseconds. `batch` has shares. */
export function spanOf({ nodeId, records }: JournalBatch): NodeSpan {
  let fromMs = Number.POSITIVE_INFINITY;
  let toMs = 0;
  for (let at = 0; at < records.length; at += SHARE_RECORD_BYTES) {
    const ms = Math.floor(Number(records.readBigUInt64LE(at + SHARE.receivedUs)) / 1000);
    fromMs = Math.min(fromMs, ms);
    toMs = Math.max(toMs, ms);
  }
  return { node: nodeId, fromMs, toMs };
}

/** How many rows of the batch there are, and how many different ones. */
export async function countBatch(
  clickhouse: ClickHouse,
  { firstSeq, lastSeq }: JournalBatch,
  span: NodeSpan,
): Promise<{ rows: number; shares: number }> {
  // The time is in the table's order, the sequence number is not: it keeps this from reading everything.
  const [found] = await clickhouse.rows<{ rows: string; shares: string }>(
    `SELECT count() AS rows, uniqExact(seq) AS shares FROM submits WHERE node = {node:UInt16}
       AND ts BETWEEN fromUnixTimestamp64Milli({fromMs:Int64}) AND fromUnixTimestamp64Milli({toMs:Int64})
       AND seq BETWEEN {firstSeq:UInt64} AND {lastSeq:UInt64}`,
    { ...span, firstSeq, lastSeq },
  );
  return { rows: Number(found?.rows ?? 0), shares: Number(found?.shares ?? 0) };
}

/**
 * To be called after `insertBatch` has returned, while nobody else inserts rows of the node.
 * @returns the tables that were not as they should be; they are now.
 * @throws Error when rows cannot be put right.
 */
export async function settleBatch(
  clickhouse: ClickHouse,
  batch: JournalBatch,
  nowMs = Date.now(),
): Promise<string[]> {
  const span = spanOf(batch);
  const facts = await tableFacts(clickhouse);
  if (facts.isReplicated) return [];
  const repaired = new Set<string>();
  for (let attempt = 1; isKept(facts, 'submits', span.fromMs, nowMs); attempt++) {
    const { rows, shares } = await countBatch(clickhouse, batch, span);
    if (rows === batch.shares && shares === batch.shares) break;
    if (attempt > ATTEMPTS_MAX) {
      throw new Error(
        `submits holds ${rows} rows of the ${batch.shares} shares ${batch.token} after ${ATTEMPTS_MAX} repairs: ` +
          'look for whoever else writes into it or deletes from it',
      );
    }
    repaired.add('submits');
    if (rows > 0) await deleteBatch(clickhouse, batch, span);
    // Sums that it goes into once more are put right below.
    await insertBatch(clickhouse, batch, `${batch.token}-${attempt}`);
  }
  for (const table of await repairSums(clickhouse, span, facts, nowMs)) repaired.add(table);
  return [...repaired];
}

/**
 * For rows that are all there once: puts right what the sums made of them. On the same terms as `settleBatch`.
 * @returns the tables that were not as they should be.
 */
export async function settleSums(
  clickhouse: ClickHouse,
  span: NodeSpan,
  nowMs = Date.now(),
): Promise<string[]> {
  const facts = await tableFacts(clickhouse);
  return facts.isReplicated ? [] : await repairSums(clickhouse, span, facts, nowMs);
}

async function deleteBatch(
  clickhouse: ClickHouse,
  { nodeId, firstSeq, lastSeq }: JournalBatch,
  { fromMs, toMs }: NodeSpan,
): Promise<void> {
  const days = await clickhouse.rows<{ day: string }>(
    `SELECT DISTINCT toString(toYYYYMMDD(ts)) AS day FROM submits WHERE node = {nodeId:UInt16}
       AND ts BETWEEN fromUnixTimestamp64Milli({fromMs:Int64}) AND fromUnixTimestamp64Milli({toMs:Int64})
       AND seq BETWEEN {firstSeq:UInt64} AND {lastSeq:UInt64}`,
    { nodeId, fromMs, toMs, firstSeq, lastSeq },
  );
  for (const { day } of days) {
    await clickhouse.command(
      `ALTER TABLE submits DELETE IN PARTITION ID '${day}'
       WHERE node = ${nodeId} AND seq BETWEEN ${firstSeq} AND ${lastSeq} SETTINGS mutations_sync = 2`,
    );
  }
}
