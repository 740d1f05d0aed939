// The sums of submits (by minute, hour, day and node) against the layer each is filled from, for one node and a span
// of time, and filled anew where they differ. Called when an insert may have broken off: token and rows are not one
// step for an engine without Keeper, so a kill between the two leaves a part twice, or leaves it out
// (MergeTreeDeduplicationLog.cpp and MergeTreeSink.cpp of ClickHouse; which of the two depends on the version).
import type { ClickHouse } from './client.js';
import { isKept, type TableFacts } from './retention.js';

/** Rows of one node received in [fromMs, toMs], Unix milliseconds. Nobody inserts any of it meanwhile. */
export interface NodeSpan {
  node: number;
  fromMs: number;
  toMs: number;
}

/** A table of sums and how it follows from the one below it. */
interface Layer {
  table: string;
  below: string;
  /** Start of the bucket that a row of `below` falls into. */
  bucket: string;
  /** Time column of `below`. */
  time: string;
  shares: string;
  columns: string;
}

const OF_SUMS = `sum(b.shares) AS shares, sum(b.work) AS work, sum(b.difficulty) AS difficulty,
  sum(b.squares) AS squares, max(b.heaviest) AS heaviest, max(b.best) AS best, sum(b.effort) AS effort,
  sum(b.blocks) AS blocks, min(b.first_at) AS first_at, max(b.last_at) AS last_at`;

const LAYERS: readonly Layer[] = [
  {
    ...{ table: 'submits_1m', below: 'submits', bucket: 'toStartOfMinute', time: 'ts', shares: 'count()' },
    columns: `count() AS shares, sum(b.work) AS work, sum(b.difficulty) AS difficulty,
      sum(b.difficulty * b.difficulty) AS squares, max(b.difficulty) AS heaviest, max(b.achieved_difficulty) AS best,
      sum(if(b.network_difficulty > 0, b.difficulty / b.network_difficulty, 0)) AS effort,
      countIf(b.is_block) AS blocks, min(b.ts) AS first_at, max(b.ts) AS last_at`,
  },
  ...[
    { table: 'submits_1h', below: 'submits_1m', bucket: 'toStartOfHour' },
    { table: 'submits_1d', below: 'submits_1h', bucket: 'toStartOfDay' },
  ].map((layer) => ({ ...layer, time: 't', shares: 'sum(b.shares)', columns: OF_SUMS })),
];

const KEY = 'round, node, account, worker, scheme, verdict';
/** Lines of a repair are never dropped for being like others, and wait until they are done. */
const REFILL = 'SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0';

/**
 * Compares each sum of the span with the layer below it and fills those buckets anew that differ. Fills nothing that
 * is right, so it may be cut off anywhere and be called again. A layer that no longer keeps the span proves nothing.
 * @returns the tables that were wrong.
 */
export async function repairSums(
  clickhouse: ClickHouse,
  span: NodeSpan,
  facts: TableFacts,
  nowMs: number,
): Promise<string[]> {
  const repaired: string[] = [];
  for (const layer of LAYERS) {
    const since = floorTo(span.fromMs, layer);
    if (![layer.below, layer.table].every((table) => isKept(facts, table, since, nowMs))) continue;
    const buckets = await wrongBuckets(clickhouse, layer, span);
    if (buckets.length === 0) continue;
    await refillBuckets(clickhouse, layer, span.node, buckets);
    repaired.push(layer.table);
  }
  if (await nodeDiffers(clickhouse, span.node)) {
    await refillNode(clickhouse, span);
    repaired.push('submits_by_node');
  }
  return repaired;
}

/** Starts of the buckets whose sums differ, Unix seconds. */
async function wrongBuckets(clickhouse: ClickHouse, layer: Layer, span: NodeSpan): Promise<number[]> {
  const { table, below, bucket, time, shares } = layer;
  // The whole bucket at both ends, in the table's own time: an index condition, where a function would not be one.
  const ends = `${bucket}(fromUnixTimestamp64Milli({fromMs:Int64}, 'UTC')) AS first,
    ${bucket}(fromUnixTimestamp64Milli({toMs:Int64}, 'UTC')) AS last`;
  const rows = await clickhouse.rows<{ bucket: number }>(
    `WITH ${ends}
     SELECT toUnixTimestamp(start) AS bucket FROM
     (
       SELECT ${bucket}(b.${time}) AS start, ${shares} AS n, sum(b.work) AS hashes, 1 AS side
       FROM ${below} AS b
       WHERE b.node = {node:UInt16} AND b.${time} >= first AND b.${time} < last + ${SECONDS[bucket]}
       GROUP BY start
       UNION ALL
       SELECT b.t AS start, sum(b.shares) AS n, sum(b.work) AS hashes, 2 AS side
       FROM ${table} AS b
       WHERE b.node = {node:UInt16} AND b.t >= first AND b.t <= last
       GROUP BY start
     )
     GROUP BY start
     HAVING sumIf(n, side = 1) != sumIf(n, side = 2) OR sumIf(hashes, side = 1) != sumIf(hashes, side = 2)
     ORDER BY start`,
    { ...span },
  );
  return rows.map(({ bucket: start }) => Number(start));
}

function floorTo(ms: number, { bucket }: Layer): number {
  const step = (SECONDS[bucket] as number) * 1000;
  return Math.floor(ms / step) * step;
}

const SECONDS: Readonly<Record<string, number>> = {
  toStartOfMinute: 60,
  toStartOfHour: 3600,
  toStartOfDay: 86_400,
};

/** A table of the same kind is filled and its parts are handed over: an insert would go on into the sums above. */
async function refillBuckets(
  clickhouse: ClickHouse,
  { table, below, bucket, time, columns }: Layer,
  node: number,
  buckets: readonly number[],
): Promise<void> {
  const wrong = buckets.join(', ');
  const first = buckets[0] as number;
  const end = (buckets.at(-1) as number) + (SECONDS[bucket] as number);
  await replaceRows(
    clickhouse,
    { table, node },
    `SELECT ${bucket}(b.${time}) AS t, ${columns}, b.round AS round, b.node AS node, b.account AS account,
       b.worker AS worker, b.scheme AS scheme, toString(b.verdict) AS verdict
     FROM ${below} AS b
     WHERE b.node = ${node} AND b.${time} >= toDateTime64(${first}, 3, 'UTC') AND b.${time} < toDateTime64(${end}, 3, 'UTC')
       AND toUnixTimestamp(${bucket}(b.${time})) IN (${wrong})
     GROUP BY t, ${KEY}`,
    `node = ${node} AND toUnixTimestamp(t) IN (${wrong})`,
  );
}

async function nodeDiffers(clickhouse: ClickHouse, node: number): Promise<boolean> {
  const [row] = await clickhouse.rows<{ differs: number }>(
    `SELECT uniqExact(n, hashes) > 1 AS differs FROM
     (
       SELECT sum(d.shares) AS n, sum(d.work) AS hashes FROM submits_1d AS d WHERE d.node = {node:UInt16}
       UNION ALL SELECT sum(b.shares), sum(b.work) FROM submits_by_node AS b WHERE b.node = {node:UInt16}
     )`,
    { node },
  );
  return Number(row?.differs ?? 0) !== 0;
}

/** Days know everything of a node but its last number, which its own rows keep, and the rows of the span. */
async function refillNode(clickhouse: ClickHouse, { node, fromMs, toMs }: NodeSpan): Promise<void> {
  const none = 'toUInt64(0) AS shares, toUInt128(0) AS work, toFloat64(0) AS difficulty';
  await replaceRows(
    clickhouse,
    { table: 'submits_by_node', node },
    `SELECT toUInt16(${node}) AS node, verdict, sum(b.shares) AS shares, sum(b.work) AS work,
       sum(b.difficulty) AS difficulty, max(b.last) AS last_seq, min(b.first_at) AS first_at, max(b.last_at) AS last_at
     FROM
     (
       SELECT verdict, d.shares AS shares, d.work AS work, d.difficulty AS difficulty, toUInt64(0) AS last, d.first_at AS first_at, d.last_at AS last_at
       FROM submits_1d AS d WHERE d.node = ${node}
       UNION ALL
       SELECT verdict, ${none}, n.last_seq AS last, n.first_at AS first_at, n.last_at AS last_at FROM submits_by_node AS n WHERE n.node = ${node}
       UNION ALL
       SELECT toString(s.verdict) AS verdict, ${none}, s.seq AS last, s.ts AS first_at, s.ts AS last_at FROM submits AS s
       WHERE s.node = ${node} AND s.ts BETWEEN fromUnixTimestamp64Milli(${fromMs}) AND fromUnixTimestamp64Milli(${toMs})
     ) AS b
     GROUP BY verdict`,
    `node = ${node}`,
  );
}

async function replaceRows(
  clickhouse: ClickHouse,
  { table, node }: { table: string; node: number },
  select: string,
  where: string,
): Promise<void> {
  const refill = `${table}_refill_${node}`;
  await clickhouse.command(`DROP TABLE IF EXISTS ${refill} SYNC`);
  await clickhouse.command(`CREATE TABLE ${refill} AS ${table}`);
  try {
    const columns = await clickhouse.rows<{ name: string }>(
      'SELECT name FROM system.columns WHERE database = {database:String} AND table = {table:String} ORDER BY position',
      { database: clickhouse.database, table },
    );
    const names = columns.map(({ name }) => name).join(', ');
    await clickhouse.command(`INSERT INTO ${refill} (${names}) SELECT ${names} FROM (${select}) ${REFILL}`);
    await clickhouse.command(`ALTER TABLE ${table} DELETE WHERE ${where} SETTINGS mutations_sync = 2`);
    const partitions = await clickhouse.rows<{ id: string }>(
      `SELECT DISTINCT partition_id AS id FROM system.parts
       WHERE database = {database:String} AND table = {refill:String} AND active`,
      { database: clickhouse.database, refill },
    );
    for (const { id } of partitions) {
      await clickhouse.command(`ALTER TABLE ${table} ATTACH PARTITION ID '${id}' FROM ${refill}`);
    }
  } finally {
    await clickhouse.command(`DROP TABLE IF EXISTS ${refill} SYNC`);
  }
}
