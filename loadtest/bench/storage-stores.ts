// The embedded stores as the storage measures use them: started in a folder, asked what they hold, their CPU time.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouse, ClickHouseOptions } from '../../storage/clickhouse/client.js';
import { type EmbeddedClickHouse, startClickHouse } from '../../storage/embedded/clickhouse.js';
import { findFreePort } from '../../storage/embedded/free-port.js';
import { type EmbeddedPostgres, startPostgres } from '../../storage/embedded/postgres.js';
import { processCpuMs } from './process-usage.js';
import type { WorkFolder } from './storage-folder.js';

/**
 * Disk that a share takes at most, merges and write-ahead logs included: in ClickHouse some 60 bytes and its sums, twice
 * while parts are merged; in a journal 160 and its frame; in Postgres a slice of 250 for each few shares, twice.
 */
export const ROW_BYTES = { tables: 200, journal: 180, ledger: 200 } as const;

const TIMEOUT_S = 120;
const MERGES_SETTLE_MS = 120_000;
const POLL_MS = 500;
/** Of a process that was waited for: fields 16 and 17 of /proc/PID/stat, ticks of 10 ms (proc_pid_stat(5)). */
const REAPED_FIELDS = [13, 14] as const;
const TICK_MS = 10;

export async function clickHouseIn(
  folder: WorkFolder,
  progress: (line: string) => void,
): Promise<{ server: EmbeddedClickHouse; options: ClickHouseOptions }> {
  const server = await startClickHouse({
    dataDir: join(folder.path, 'clickhouse'),
    log: (line) => progress(`storage: ${line}`),
    port: await findFreePort(),
  });
  folder.atEnd(() => server.stop());
  return { server, options: { url: server.url, ...server.writer, timeoutS: TIMEOUT_S } };
}

export async function postgresIn(
  folder: WorkFolder,
  progress: (line: string) => void,
): Promise<EmbeddedPostgres> {
  const server = await startPostgres({
    dataDir: join(folder.path, 'postgres'),
    log: (line) => progress(`storage: ${line}`),
  });
  folder.atEnd(() => server.stop());
  return server;
}

/** CPU milliseconds of a server with its children, those that ended included (Postgres forks vacuum workers). */
export function serverCpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const reaped = REAPED_FIELDS.reduce((sum, field) => sum + Number(fields[field]), 0);
  return processCpuMs(pid, true) + reaped * TICK_MS;
}

/** Waits until no merge has run for two seconds, two minutes at most. */
export async function mergesSettle(clickhouse: ClickHouse): Promise<void> {
  const untilMs = performance.now() + MERGES_SETTLE_MS;
  let quietPolls = 0;
  while (quietPolls < 4 && performance.now() < untilMs) {
    await sleep(POLL_MS);
    const [merges] = await clickhouse.rows<{ n: string }>('SELECT count() AS n FROM system.merges');
    quietPolls = merges?.n === '0' ? quietPolls + 1 : 0;
  }
}

/** @throws Error when ClickHouse does not hold exactly so many rows, or its sums are not theirs */
export async function requireRows(clickhouse: ClickHouse, rows: number): Promise<void> {
  const [sums] = await clickhouse.rows<{ submits: string; differs: number }>(
    'SELECT * FROM rollup_differences',
  );
  if (sums?.submits !== String(rows) || sums.differs !== 0) {
    throw new Error(`ClickHouse does not hold the ${rows} shares that were sent: ${JSON.stringify(sums)}`);
  }
}

/** Bytes on disk of each table of shares, divided by the shares sent; `held` is the table's own rows. */
export async function bytesPerRow(
  clickhouse: ClickHouse,
  rows: number,
): Promise<{ table: string; bytes: number; held: string }[]> {
  const tables = await clickhouse.rows<{ table: string; bytes: string; held: string }>(
    `SELECT table, sum(bytes_on_disk) AS bytes, sum(rows) AS held FROM system.parts
     WHERE active AND database = currentDatabase() AND table LIKE 'submits%' GROUP BY table ORDER BY table`,
  );
  return tables.map(({ table, bytes, held }) => ({ table, bytes: Number(bytes) / rows, held }));
}
