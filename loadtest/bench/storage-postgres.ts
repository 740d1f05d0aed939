// The measure "postgres": what Postgres spends on work slices. A batch a second is booked through WorkStore, of as many
// shares as bring about 5,000 rows of work: with w workers and r shares of chance it is w (1 - exp(-r / w)) of them.
import { setTimeout as sleep } from 'node:timers/promises';
import { sumBatch } from '../../storage/postgres/batch-work.js';
import { openPostgres } from '../../storage/postgres/connection.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import { WorkStore } from '../../storage/postgres/work-store.js';
import { figureOf, type SuiteResult } from './figures.js';
import { poolDay, rowsOfDay } from './storage-data.js';
import { inWorkFolder } from './storage-folder.js';
import { postgresIn, serverCpuMs } from './storage-stores.js';

const ROWS_PER_SECOND = 5000;
const WORKERS = 10_000;
const SHARES_PER_SECOND = Math.round(-WORKERS * Math.log(1 - ROWS_PER_SECOND / WORKERS));
const SEED = 8;
const SECONDS = { quick: 6, full: 120 } as const;
/** The first batches make accounts and workers. */
const WARMUP_S = 5;
const PROGRESS_S = 10;
const BYTES = 1024 ** 3;

/** @throws Error when the booked shares are not those that were given */
export function measurePostgres(quick: boolean, progress: (line: string) => void): Promise<SuiteResult> {
  const seconds = quick ? SECONDS.quick : SECONDS.full;
  return inWorkFolder('postgres', BYTES, async (folder) => {
    const server = await postgresIn(folder, progress);
    const database = openPostgres({ url: server.url, poolSize: 1, timeoutS: 60 });
    folder.atEnd(() => database.end({ timeout: 1 }));
    await migratePostgres(database);
    const work = new WorkStore(database, { defaultScheme: 'pplns', isAddress: () => false });
    const batches = poolDay({
      rows: rowsOfDay(SHARES_PER_SECOND),
      workers: WORKERS,
      seed: SEED,
      startMs: Date.now(),
      batchRows: SHARES_PER_SECOND,
    });
    const transactionMs: number[] = [];
    let shares = 0;
    let rows = 0;
    let cpuBefore = 0;
    let startMs = performance.now();
    for (let second = -WARMUP_S; second < seconds; second++) {
      if (second === 0) {
        cpuBefore = serverCpuMs(server.pid);
        startMs = performance.now();
      }
      const { value: batch, done } = batches.next();
      if (done === true) throw new Error('the generated day has no more shares');
      const { slices, rejects } = sumBatch(batch);
      const before = performance.now();
      await work.applyBatch(batch);
      shares += batch.shares;
      if (second < 0) continue;
      transactionMs.push(performance.now() - before);
      rows += slices.length + rejects.length;
      if (second > 0 && second % PROGRESS_S === 0) progress(`storage: ${second} of ${seconds} s`);
      await sleep(Math.max(0, startMs + (second + 1) * 1000 - performance.now()));
    }
    const wallMs = performance.now() - startMs;
    const cpuMs = serverCpuMs(server.pid) - cpuBefore;
    const [booked] = await database<{ shares: bigint }[]>`
      select coalesce(sum(shares), 0)::bigint as shares from share_totals`;
    if (Number(booked?.shares) !== shares) {
      throw new Error(`Postgres has booked ${booked?.shares} of ${shares} shares`);
    }
    const perRowUs = (cpuMs * 1000) / rows;
    return {
      figures: [
        figureOf('storage.postgres_core_percent', '%', [(perRowUs * ROWS_PER_SECOND) / 10_000], {
          goal: { most: 5 },
          ratio: `at ${ROWS_PER_SECOND} rows/s; measured at ${Math.round((rows * 1000) / wallMs)}`,
        }),
        figureOf('storage.postgres_row_cpu_us', 'us/row', [perRowUs]),
        figureOf('storage.postgres_transaction_ms', 'ms', transactionMs),
      ],
      method: [
        `postgres: a batch of ${SHARES_PER_SECOND} shares of ${WORKERS} workers a second for ${seconds} s; CPU of all its processes, vacuum included`,
      ],
    };
  });
}
