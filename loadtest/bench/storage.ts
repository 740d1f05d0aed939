// The suite "storage": how fast the embedded ClickHouse takes shares with all rollups on, what a share costs in CPU
// and on disk, and how long the analysts' questions take. The way of the shares is the pool's own: journal batches,
// the Native encoder, the HTTP client, the engine in its child process. Linux only (CPU time from /proc).
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouse, openClickHouse } from '../../storage/clickhouse/client.js';
import { migrateClickHouse } from '../../storage/clickhouse/migrate.js';
import { nativeBlocks, SUBMIT_COLUMNS } from '../../storage/clickhouse/native.js';
import { type EmbeddedClickHouse, startClickHouse } from '../../storage/embedded/clickhouse.js';
import { findFreePort } from '../../storage/embedded/free-port.js';
import { UsageError } from './command-line.js';
import { type Figure, figureOf, type SuiteOptions, type SuiteResult } from './figures.js';
import { processCpuMs, requireProcFiles } from './process-usage.js';
import { DAY_MS, poolDay } from './storage-data.js';
import { timedQueries } from './storage-queries.js';

const ROWS = { quick: 200_000, full: 10_000_000, most: 200_000_000 } as const;
const WORKERS = 10_000;
const BATCH_ROWS = 100_000;
const SEED = 5;
const QUERY_RUNS = { quick: 3, full: 7 } as const;
const MERGES_SETTLE_MS = 120_000;
const POLL_MS = 500;
const PROGRESS_ROWS = 1_000_000;

/** Figures of the suite. Throws when the stored rows are not those that were sent, or the sums are not theirs. */
export async function suite({ quick, given, progress }: SuiteOptions): Promise<SuiteResult> {
  requireProcFiles();
  const rows = rowsOf(given.rows ?? [], quick);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-storage-'));
  let server: EmbeddedClickHouse | undefined;
  let clickhouse: ClickHouse | undefined;
  try {
    server = await startClickHouse({
      dataDir: folder,
      log: (line) => progress(`storage: ${line}`),
      port: await findFreePort(),
    });
    const options = { url: server.url, ...server.writer, timeoutS: 120 };
    await migrateClickHouse(options);
    clickhouse = openClickHouse(options);
    const startMs = Math.floor(Date.now() / DAY_MS - 1) * DAY_MS;
    const inserted = await insertAll(clickhouse, server, rows, startMs, progress);
    progress('storage: merges settle');
    await mergesSettle(clickhouse);
    await requireSums(clickhouse, rows);
    const sizes = await bytesPerRow(clickhouse, rows);
    const queries = await timeQueries(clickhouse, startMs, quick ? QUERY_RUNS.quick : QUERY_RUNS.full);
    return {
      figures: [...inserted, ...sizes, ...queries],
      method: [
        `${rows} generated rows of one day, ${WORKERS} workers (power law), batches of ${BATCH_ROWS}; one process, one run`,
        'insert: embedded engine, all rollups on, each batch on disk (fsync) before the next is sent; goals of queries are for 50 million rows',
      ],
    };
  } finally {
    await clickhouse?.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @throws UsageError when --rows is no whole number within its bounds */
export function rowsOf(given: readonly string[], quick: boolean): number {
  const [text, ...more] = given;
  if (text === undefined) return quick ? ROWS.quick : ROWS.full;
  const rows = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (more.length === 0 && rows >= 1000 && rows <= ROWS.most) return rows;
  throw new UsageError(`--rows "${given.join(' ')}": expected one whole number from 1000 to ${ROWS.most}`);
}

async function insertAll(
  clickhouse: ClickHouse,
  server: EmbeddedClickHouse,
  rows: number,
  startMs: number,
  progress: (line: string) => void,
): Promise<Figure[]> {
  const rates: number[] = [];
  const encodeUs: number[] = [];
  const cpuBefore = processCpuMs(server.pid, true);
  let sent = 0;
  for (const batch of poolDay({ rows, workers: WORKERS, seed: SEED, startMs, batchRows: BATCH_ROWS })) {
    const beforeEncode = process.cpuUsage();
    const blocks = [...nativeBlocks(batch)];
    const { user, system } = process.cpuUsage(beforeEncode);
    encodeUs.push((user + system) / batch.shares);
    const before = performance.now();
    await clickhouse.insertNative('submits', SUBMIT_COLUMNS, blocks, batch.token);
    rates.push((batch.shares / (performance.now() - before)) * 1000);
    sent += batch.shares;
    if (sent % PROGRESS_ROWS === 0) progress(`storage: ${sent} of ${rows} rows`);
  }
  const cpuUs = ((processCpuMs(server.pid, true) - cpuBefore) * 1000) / rows;
  return [
    figureOf('storage.insert_rows_s', 'rows/s', rates, { goal: { least: 100_000 } }),
    figureOf('storage.insert_engine_cpu_us', 'us/row', [cpuUs], {
      goal: { most: 7 },
      ratio: `${(cpuUs / 10).toFixed(2)} cores at 100,000 rows/s, merges included`,
    }),
    figureOf('storage.encode_cpu_us', 'us/row', encodeUs),
  ];
}

async function mergesSettle(clickhouse: ClickHouse): Promise<void> {
  const untilMs = performance.now() + MERGES_SETTLE_MS;
  let quietPolls = 0;
  while (quietPolls < 4 && performance.now() < untilMs) {
    await sleep(POLL_MS);
    const [merges] = await clickhouse.rows<{ n: string }>('SELECT count() AS n FROM system.merges');
    quietPolls = merges?.n === '0' ? quietPolls + 1 : 0;
  }
}

async function requireSums(clickhouse: ClickHouse, rows: number): Promise<void> {
  const [sums] = await clickhouse.rows<{ submits: string; differs: number }>(
    'SELECT * FROM rollup_differences',
  );
  if (sums?.submits !== String(rows) || sums.differs !== 0) {
    throw new Error(`ClickHouse does not hold what was sent: ${JSON.stringify(sums)}`);
  }
}

async function bytesPerRow(clickhouse: ClickHouse, rows: number): Promise<Figure[]> {
  const tables = await clickhouse.rows<{ table: string; bytes: string; held: string }>(
    `SELECT table, sum(bytes_on_disk) AS bytes, sum(rows) AS held FROM system.parts
     WHERE active AND database = currentDatabase() AND table LIKE 'submits%' GROUP BY table ORDER BY table`,
  );
  return tables.map(({ table, bytes, held }) =>
    figureOf(`storage.bytes_${table}`, 'B/share', [Number(bytes) / rows], {
      goal: table === 'submits' ? { most: 64 } : undefined,
      ratio: table === 'submits' ? undefined : `${held} rows`,
    }),
  );
}

async function timeQueries(clickhouse: ClickHouse, startMs: number, runs: number): Promise<Figure[]> {
  const [busiest] = await clickhouse.rows<{ account: string; worker: string }>(
    `SELECT account, worker FROM submits_1d WHERE verdict = 'accepted' GROUP BY ALL
     ORDER BY sum(submits_1d.shares) DESC LIMIT 1`,
  );
  const [all] = await clickhouse.rows<{ work: string }>(
    'SELECT toString(sum(work)) AS work FROM share_counts',
  );
  const queries = timedQueries({
    account: busiest?.account ?? '',
    worker: busiest?.worker ?? '',
    windowHashes: BigInt(all?.work ?? 0) / 2n,
    since: new Date(startMs).toISOString().slice(0, 19).replace('T', ' '),
  });
  const figures: Figure[] = [];
  for (const { name, sql, goal } of queries) {
    const times: number[] = [];
    // The first run finds cold caches: it is not counted.
    for (let run = 0; run <= runs; run++) {
      const before = performance.now();
      const answer = await clickhouse.rows(sql);
      if (answer.length === 0) throw new Error(`the query ${name} found nothing`);
      if (run > 0) times.push(performance.now() - before);
    }
    figures.push(figureOf(`storage.query_${name}_ms`, 'ms', times, { goal }));
  }
  return figures;
}
