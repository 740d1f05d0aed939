// Whether raw shares are gone, or have not come yet, that a credit was made from: asked only when a credit could not
// be recomputed, to tell a store that is not complete from one that says something else.
import type { ClickHouse } from '../../storage/clickhouse/client.js';
import type { Database, Fragment } from '../../storage/postgres/connection.js';
import type { SeqRange } from './raw-ranges.js';
import type { WindowEnd } from './raw-shares.js';

/**
 * Why ClickHouse cannot have the shares `ranges`: it no longer has, or not yet, those numbers of a node, or has no
 * row of a whole day on which the ledger booked some. Null: it should have them.
 */
export async function gapInRanges(
  clickhouse: ClickHouse,
  database: Database,
  ranges: readonly SeqRange[],
  since: Fragment = database`true`,
): Promise<string | null> {
  const extents = await readExtents(clickhouse);
  for (const { node, from, to } of ranges) {
    const extent = extents.get(node);
    if (extent === undefined) return `ClickHouse has no shares of node ${node}`;
    if (from < extent.first) return `ClickHouse no longer has shares of node ${node} below ${extent.first}`;
    if (to - 1n > extent.last) {
      return `ClickHouse has come to share ${extent.last} of node ${node}, not yet to ${to - 1n}`;
    }
    const days = await database<{ day: string }[]>`
      select distinct (bucket_start at time zone 'UTC')::date::text as day from work_slices
      where node_id = ${node} and first_seq < ${to} and last_seq >= ${from} and ${since}`;
    const gone = await goneDay(
      clickhouse,
      days.map(({ day }) => day),
    );
    if (gone !== null) return gone;
  }
  return null;
}

/** As `gapInRanges`, of the shares that are not SOLO before `end` since `sinceS` (null: ever). */
export async function gapInWindow(
  clickhouse: ClickHouse,
  database: Database,
  end: WindowEnd,
  sinceS: number | null,
): Promise<string | null> {
  const since = database`bucket_start >= ${new Date((sinceS ?? 0) * 1000)}`;
  const before = 'round' in end ? database`round <= ${end.round}` : database`true`;
  const booked = await database<{ node: number; from: bigint; to: bigint }[]>`
    select node_id as node, min(first_seq) as from, max(last_seq) + 1 as to from work_slices
    where scheme <> 'solo' and ${before} and ${since} group by node_id`;
  const ranges = booked.flatMap((range) => {
    if ('round' in end) return [range];
    const nextSeq = end.cut.find(({ node }) => node === range.node)?.nextSeq ?? 0n;
    return range.from < nextSeq ? [{ ...range, to: nextSeq }] : [];
  });
  return await gapInRanges(clickhouse, database, ranges, since);
}

/** First and last number of each node that has rows. */
async function readExtents(clickhouse: ClickHouse): Promise<Map<number, { first: bigint; last: bigint }>> {
  const rows = await clickhouse.rows<{ node: number; first: string; last: string }>(
    'SELECT node, min(seq) AS first, max(seq) AS last FROM submits GROUP BY node',
  );
  return new Map(rows.map(({ node, first, last }) => [node, { first: BigInt(first), last: BigInt(last) }]));
}

async function goneDay(clickhouse: ClickHouse, days: readonly string[]): Promise<string | null> {
  if (days.length === 0) return null;
  const rows = await clickhouse.rows<{ day: string }>(
    'SELECT DISTINCT toString(toDate(ts)) AS day FROM submits',
  );
  const there = new Set(rows.map(({ day }) => day));
  const gone = days.find((day) => !there.has(day));
  return gone === undefined ? null : `ClickHouse has no row of ${gone}, a day on which shares were booked`;
}
