// How long shares and their sums stay in ClickHouse (KeepDays), as TTL of the tables. Whole parts are dropped, nothing
// is rewritten. https://clickhouse.com/docs/engines/table-engines/mergetree-family/mergetree#table_engine-mergetree-ttl
import type { ClickHouse, KeepDays } from './client.js';

const TIME = { submits: 'ts', submits_1m: 't', submits_1h: 't' } as const;
type Expiring = keyof typeof TIME;

const MS_PER_DAY = 86_400_000;
/** Rows this near their end may be gone at any moment: nothing is concluded from their absence. */
const MARGIN_MS = MS_PER_DAY;

/** Sets what is not so yet. `onCluster`: empty, or `ON CLUSTER name`. */
export async function applyRetention(
  clickhouse: ClickHouse,
  { submits, minutes, hours }: KeepDays,
  onCluster: string,
): Promise<void> {
  const wanted = { submits, submits_1m: minutes, submits_1h: hours };
  const { days } = await tableFacts(clickhouse);
  for (const [table, time] of Object.entries(TIME) as [Expiring, string][]) {
    const keep = wanted[table];
    if (keep === days[table]) continue;
    const alter = `ALTER TABLE ${table} ${onCluster}`;
    if (keep === null) {
      await clickhouse.command(`${alter} REMOVE TTL`);
      continue;
    }
    await clickhouse.command(
      `${alter} MODIFY SETTING ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1`,
    );
    await clickhouse.command(`${alter} MODIFY TTL toDateTime(${time}) + INTERVAL ${keep} DAY`);
  }
}

/** What the server says of the tables that shares are inserted into. */
export interface TableFacts {
  /** With Keeper: rows and the token of their insert are one step. */
  isReplicated: boolean;
  /** Days that rows stay; null: for ever. */
  days: Record<Expiring, number | null>;
}

export async function tableFacts(clickhouse: ClickHouse): Promise<TableFacts> {
  const rows = await clickhouse.rows<{ name: string; engine: string; days: string }>(
    `SELECT name, engine, extract(engine_full, 'toIntervalDay\\\\((\\\\d+)\\\\)') AS days FROM system.tables
     WHERE database = {database:String} AND name IN ('submits', 'submits_1m', 'submits_1h')`,
    { database: clickhouse.database },
  );
  const daysOf = (table: Expiring) => {
    const text = rows.find(({ name }) => name === table)?.days ?? '';
    return text === '' ? null : Number(text);
  };
  return {
    isReplicated: rows.some(({ name, engine }) => name === 'submits' && engine.startsWith('Replicated')),
    days: {
      ...{ submits: daysOf('submits'), submits_1m: daysOf('submits_1m') },
      submits_1h: daysOf('submits_1h'),
    },
  };
}

/** True when rows of `table` from `fromMs` on are all there, Unix milliseconds. `nowMs`: wall clock. */
export function isKept({ days }: TableFacts, table: string, fromMs: number, nowMs: number): boolean {
  const keep = table in days ? days[table as Expiring] : null;
  return keep === null || fromMs > nowMs - keep * MS_PER_DAY + MARGIN_MS;
}
