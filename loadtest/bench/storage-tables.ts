// The measure "tables": how fast the embedded ClickHouse takes shares with all rollups on, what a share costs in CPU
// and on disk, and how long the analysts' questions take. Batches, the Native encoder, the HTTP client and the engine
// in its child process are the pool's own; no journal stands before them.
import { type ClickHouse, openClickHouse } from '../../storage/clickhouse/client.js';
import { migrateClickHouse } from '../../storage/clickhouse/migrate.js';
import { nativeBlocks, SUBMIT_COLUMNS } from '../../storage/clickhouse/native.js';
import type { EmbeddedClickHouse } from '../../storage/embedded/clickhouse.js';
import { type Figure, figureOf, type SuiteResult } from './figures.js';
import { processCpuMs } from './process-usage.js';
import { DAY_MS, poolDay } from './storage-data.js';
import { inWorkFolder } from './storage-folder.js';
import { timedQueries } from './storage-queries.js';
import { bytesPerRow, clickHouseIn, mergesSettle, ROW_BYTES, requireRows } from './storage-stores.js';

const WORKERS = 10_000;
const BATCH_ROWS = 100_000;
const SEED = 5;
const QUERY_RUNS = { quick: 3, full: 7 } as const;
const PROGRESS_ROWS = 1_000_000;

/** Throws when the stored rows are not those that were sent, or the sums are not theirs. */
export function measureTables(
  rows: number,
  quick: boolean,
  progress: (line: string) => void,
): Promise<SuiteResult> {
  return inWorkFolder('tables', rows * ROW_BYTES.tables, async (folder) => {
    const { server, options } = await clickHouseIn(folder, progress);
    await migrateClickHouse(options);
    const clickhouse = openClickHouse(options);
    folder.atEnd(() => clickhouse.close());
    const startMs = Math.floor(Date.now() / DAY_MS - 1) * DAY_MS;
    const inserted = await insertAll(clickhouse, server, rows, startMs, progress);
    progress('storage: merges settle');
    await mergesSettle(clickhouse);
    await requireRows(clickhouse, rows);
    const sizes = (await bytesPerRow(clickhouse, rows)).map(({ table, bytes, held }) =>
      figureOf(`storage.bytes_${table}`, 'B/share', [bytes], {
        goal: table === 'submits' ? { most: 64 } : undefined,
        ratio: table === 'submits' ? undefined : `${held} rows`,
      }),
    );
    const queries = await timeQueries(clickhouse, startMs, quick ? QUERY_RUNS.quick : QUERY_RUNS.full);
    return {
      figures: [...inserted, ...sizes, ...queries],
      method: [
        `tables: ${rows} generated rows of one day, ${WORKERS} workers (power law), batches of ${BATCH_ROWS}, one run; ` +
          'each batch is on disk (fsync) before the next is sent; goals of queries are for 50 million rows',
      ],
    };
  });
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
