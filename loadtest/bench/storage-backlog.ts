// The measure "backlog": stores that were away come back to a journal of 10 million shares. The real shipper drains it
// into the embedded stores while shares go on coming into the same journal; those must not wait longer for their answers.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouse, openClickHouse } from '../../storage/clickhouse/client.js';
import { migrateClickHouse } from '../../storage/clickhouse/migrate.js';
import { JournalWriter } from '../../storage/journal/writer.js';
import { openPostgres } from '../../storage/postgres/connection.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import type { Consumer, ConsumerStatus } from '../../storage/shipper/messages.js';
import { Shipper } from '../../storage/shipper/shipper.js';
import { figureOf, type SuiteResult } from './figures.js';
import { ShareFeed } from './storage-feed.js';
import { inWorkFolder } from './storage-folder.js';
import { LiveJournal } from './storage-live.js';
import { clickHouseIn, postgresIn, ROW_BYTES, requireRows, serverCpuMs } from './storage-stores.js';

/** Shares a second before, while and after the stores were away. */
const LIVE_RATE = 20_000;
const WORKERS = 10_000;
const SEED = 7;
const NODE_ID = 1;
const FRAME_US = 1000;
const BEFORE_MS = { quick: 2000, full: 10_000 } as const;
/** The thread makes its identities and its code is compiled. */
const WARMUP_MS = 1000;
const GOAL = { shares: 10_000_000, seconds: 60 } as const;
/** Given up when it takes as long as the backlog took to come, but a small one waits for the stores to be connected. */
const DRAIN_S_LEAST = 120;
const PROGRESS_MS = 5000;
/** How often the writing of the backlog lets the event loop have its turn, and says how far it is. */
const YIELD_SHARES = 20_000;
const SAY_SHARES = 1_000_000;

/** @throws Error when a store does not end with exactly the shares of the journal */
export function measureBacklog(
  shares: number,
  quick: boolean,
  progress: (line: string) => void,
): Promise<SuiteResult> {
  const rowBytes = ROW_BYTES.journal + ROW_BYTES.tables + ROW_BYTES.ledger;
  const drainSMax = Math.max(DRAIN_S_LEAST, shares / LIVE_RATE);
  // With what comes meanwhile.
  return inWorkFolder('backlog', (shares + LIVE_RATE * drainSMax) * rowBytes, async (folder) => {
    const { server, options } = await clickHouseIn(folder, progress);
    const postgres = await postgresIn(folder, progress);
    await migrateClickHouse(options);
    const database = openPostgres({ url: postgres.url, poolSize: 1, timeoutS: 60 });
    folder.atEnd(() => database.end({ timeout: 1 }));
    await migratePostgres(database);
    const journalFolder = join(folder.path, 'journal');
    await writeBacklog(journalFolder, shares, progress);

    const live = new LiveJournal({
      ...{ journalFolder, nodeId: NODE_ID, sharesPerSecond: LIVE_RATE, workers: WORKERS, seed: SEED },
    });
    folder.atEnd(() => live.end());
    progress(`storage: ${LIVE_RATE} shares/s, the stores are idle`);
    await live.summary();
    await sleep(WARMUP_MS);
    await live.summary();
    await sleep(quick ? BEFORE_MS.quick : BEFORE_MS.full);
    const before = await live.summary();

    progress('storage: the shipper starts');
    const drain = new Drain(shares, drainSMax, progress);
    const cpuBefore = { postgres: serverCpuMs(postgres.pid), engine: serverCpuMs(server.pid) };
    const startMs = performance.now();
    const shipper = new Shipper(
      {
        lanes: [{ nodeId: NODE_ID, journalFolder }],
        network: 'regtest',
        defaultScheme: 'pplns',
        clickhouse: options,
        postgresUrl: postgres.url,
        timeoutS: 120,
      },
      {
        log: (_level, message) => progress(`storage: ${message}`),
        onStatus: (status) => drain.onStatus(status),
      },
    );
    folder.atEnd(() => shipper.stop(0));
    const both = await Promise.race([drain.done, live.failure]);
    const seconds = (performance.now() - startMs) / 1000;
    const postgresMs = serverCpuMs(postgres.pid) - cpuBefore.postgres;
    const engineMs = serverCpuMs(server.pid) - cpuBefore.engine;
    const during = await live.summary();

    progress('storage: what came meanwhile is delivered too');
    const lastSeq = await live.stop();
    shipper.sealed(NODE_ID, lastSeq);
    if (!(await shipper.stop(drainSMax * 1000)))
      throw new Error(`the rest was not delivered in ${drainSMax} s`);
    await requireBoth(options, lastSeq, async () => {
      const [sum] = await database<{ shares: bigint }[]>`
        select coalesce(sum(shares), 0)::bigint as shares from share_totals`;
      return Number(sum?.shares ?? 0);
    });
    const goal = shares === GOAL.shares ? { most: GOAL.seconds } : undefined;
    const ratio = during.p99Ms / before.p99Ms;
    return {
      figures: [
        figureOf('storage.backlog_drain_s', 's', [seconds], {
          ...(goal === undefined ? {} : { goal }),
          ratio: `ClickHouse ${both.clickhouse.toFixed(1)} s, Postgres ${both.ledger.toFixed(1)} s`,
        }),
        figureOf('storage.backlog_shares_s', 'shares/s', [shares / seconds], {
          goal: { least: 5 * LIVE_RATE },
          ratio: `${(shares / seconds / LIVE_RATE).toFixed(1)} x the live rate`,
        }),
        figureOf('storage.backlog_postgres_cores', 'cores', [postgresMs / seconds / 1000]),
        figureOf('storage.backlog_engine_cores', 'cores', [engineMs / seconds / 1000]),
        figureOf('storage.ack_p99_before_ms', 'ms', [before.p99Ms], { ratio: `median ${before.p50Ms} ms` }),
        figureOf('storage.ack_p99_during_ms', 'ms', [during.p99Ms], {
          ratio: `median ${during.p50Ms} ms, longest ${during.maxMs.toFixed(1)} ms`,
        }),
        figureOf('storage.ack_p99_ratio', 'x', [ratio], { goal: { most: 2 } }),
      ],
      method: [
        `backlog: ${shares} shares of ${WORKERS} workers, cut as at ${LIVE_RATE}/s, drained into both stores while ${LIVE_RATE}/s go on coming ` +
          'into the same journal; ack: from when a share was due until its commit returned, stores idle and draining',
      ],
    };
  });
}

/** As the connection thread would have left it: a frame a millisecond, a batch a second. */
async function writeBacklog(folder: string, shares: number, progress: (line: string) => void): Promise<void> {
  const startMs = Math.floor(Date.now() - (shares / LIVE_RATE) * 1000 - 60_000);
  const feed = new ShareFeed({ sharesPerSecond: LIVE_RATE, workers: WORKERS, seed: SEED, startMs });
  // Time is that of the shares.
  const journal = new JournalWriter({ folder, nodeId: NODE_ID, nowMs: () => feed.dueUs / 1000 });
  feed.define(journal);
  let frameEndUs = startMs * 1000 + FRAME_US;
  for (let share = 1; share <= shares; share++) {
    if (feed.dueUs >= frameEndUs) {
      journal.commit();
      frameEndUs = feed.dueUs + FRAME_US;
    }
    feed.append(journal);
    if (share % YIELD_SHARES === 0) await sleep(0);
    if (share % SAY_SHARES === 0) progress(`storage: backlog of ${share} of ${shares} shares`);
  }
  journal.close();
}

/** Follows the shipper until both stores have the backlog. */
class Drain {
  readonly done: Promise<Record<Consumer, number>>;
  readonly #shares: number;
  readonly #progress: (line: string) => void;
  readonly #seconds = new Map<Consumer, number>();
  readonly #startMs = performance.now();
  #saidMs = performance.now();
  #end: (seconds: Record<Consumer, number>) => void = () => {};

  constructor(shares: number, secondsMax: number, progress: (line: string) => void) {
    this.#shares = shares;
    this.#progress = progress;
    this.done = new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        reject(new Error(`the backlog was not drained in ${secondsMax} s: the stores take less than comes`));
      }, secondsMax * 1000);
      this.#end = (seconds) => {
        clearTimeout(late);
        resolve(seconds);
      };
    });
    this.done.catch(() => {});
  }

  onStatus({ consumer, shippedSeq }: ConsumerStatus): void {
    const nowMs = performance.now();
    if (nowMs - this.#saidMs >= PROGRESS_MS) {
      this.#saidMs = nowMs;
      this.#progress(`storage: ${consumer} has ${shippedSeq} of ${this.#shares} shares`);
    }
    if (shippedSeq < this.#shares || this.#seconds.has(consumer)) return;
    this.#seconds.set(consumer, (nowMs - this.#startMs) / 1000);
    const [clickhouse, ledger] = [this.#seconds.get('clickhouse'), this.#seconds.get('ledger')];
    if (clickhouse !== undefined && ledger !== undefined) this.#end({ clickhouse, ledger });
  }
}

async function requireBoth(
  options: Parameters<typeof openClickHouse>[0],
  shares: number,
  booked: () => Promise<number>,
): Promise<void> {
  const clickhouse: ClickHouse = openClickHouse(options);
  try {
    await requireRows(clickhouse, shares);
  } finally {
    await clickhouse.close();
  }
  const ledger = await booked();
  if (ledger !== shares)
    throw new Error(`Postgres has booked ${ledger} of the ${shares} shares of the journal`);
}
