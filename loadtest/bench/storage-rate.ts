// The measure "rate": the embedded ClickHouse takes 100,000 rows a second with all rollups on, by the pool's own way:
// a thread commits shares to a journal, open loop, and the shipper's lane sends each sealed batch (one a second) in
// Native format under its token.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openClickHouse } from '../../storage/clickhouse/client.js';
import { migrateClickHouse } from '../../storage/clickhouse/migrate.js';
import { removeConsumedSegments } from '../../storage/journal/retention.js';
import { ClickHouseSink } from '../../storage/shipper/clickhouse-sink.js';
import { Lane } from '../../storage/shipper/lane.js';
import type { ConsumerStatus } from '../../storage/shipper/messages.js';
import { OutageLog } from '../../storage/shipper/outage-log.js';
import { figureOf, type SuiteResult } from './figures.js';
import { inWorkFolder } from './storage-folder.js';
import { LiveJournal } from './storage-live.js';
import {
  bytesPerRow,
  clickHouseIn,
  mergesSettle,
  ROW_BYTES,
  requireRows,
  serverCpuMs,
} from './storage-stores.js';
import { wallMs } from './storage-turns.js';

export const RATE = 100_000;
const WORKERS = 10_000;
const SEED = 6;
const NODE_ID = 1;
/** Segments behind the cursor are removed. When ClickHouse is that far behind, the load ends. */
const BEHIND_S_MAX = 60;
const PROGRESS_MS = 10_000;
const DRAIN_MS = 600_000;
/** Shares come at random: a run is that near to its rate. */
const RATE_GOAL = RATE * 0.99;

/** When the journal had come where, to say how old the oldest share is that ClickHouse has not. */
export class Heads {
  readonly #heads: { seq: number; atMs: number }[] = [];

  add(seq: number, atMs: number): void {
    this.#heads.push({ seq, atMs });
  }

  /** First time at which the journal was seen to hold `seq`, Unix milliseconds; forgets what is before it. */
  timeOf(seq: number): number | null {
    while (this.#heads.length > 0 && (this.#heads[0] as { seq: number }).seq < seq) this.#heads.shift();
    return this.#heads[0]?.atMs ?? null;
  }
}

/**
 * @param seconds how long
 * @throws Error when ClickHouse does not hold exactly what the journal says
 */
export function measureRate(seconds: number, progress: (line: string) => void): Promise<SuiteResult> {
  const bytes = RATE * (seconds * ROW_BYTES.tables + BEHIND_S_MAX * ROW_BYTES.journal);
  return inWorkFolder('rate', bytes, async (folder) => {
    const { server, options } = await clickHouseIn(folder, progress);
    await migrateClickHouse(options);
    const clickhouse = openClickHouse(options);
    folder.atEnd(() => clickhouse.close());
    const journalFolder = join(folder.path, 'journal');
    const heads = new Heads();
    let head = 0;
    const live = new LiveJournal(
      { journalFolder, nodeId: NODE_ID, sharesPerSecond: RATE, workers: WORKERS, seed: SEED },
      (seq, atMs) => {
        head = seq;
        heads.add(seq, atMs);
      },
    );
    folder.atEnd(() => live.end());
    // The thread has made its identities and begun.
    await live.summary();

    const deliveries: { seq: number; atMs: number; lagMs: number }[] = [];
    let shipped = 0;
    const onDelivered = ({ shippedSeq, position }: ConsumerStatus): void => {
      const atMs = wallMs();
      deliveries.push({ seq: shippedSeq, atMs, lagMs: atMs - (heads.timeOf(shipped + 1) ?? atMs) });
      shipped = shippedSeq;
      removeConsumedSegments(journalFolder, position?.segment ?? 0, Date.now(), { keepMs: 0, bytesMax: 0 });
    };
    const log = (_level: string, message: string): void => progress(`storage: ${message}`);
    const sink = new ClickHouseSink(options, NODE_ID, journalFolder, (message) => log('warn', message));
    const nowMs = (): number => performance.now();
    const outages = new OutageLog('clickhouse', log, nowMs);
    const lane = new Lane({ nodeId: NODE_ID, journalFolder, sink, outages, onDelivered, nowMs });
    const drained = lane.run();
    folder.atEnd(async () => {
      lane.stop(0);
      await drained;
    });

    const cpuBefore = serverCpuMs(server.pid);
    const startMs = wallMs();
    let loadS = 0;
    while (loadS < seconds && head - shipped < RATE * BEHIND_S_MAX) {
      await Promise.race([sleep(Math.min(PROGRESS_MS, (seconds - loadS) * 1000)), live.failure]);
      loadS = (wallMs() - startMs) / 1000;
      const lag = Math.round(deliveries.at(-1)?.lagMs ?? 0);
      progress(`storage: ${Math.round(loadS)} of ${seconds} s, lag ${lag} ms`);
    }
    const thread = await live.summary();
    const rows = await live.stop();
    lane.stop(DRAIN_MS);
    if (!(await drained)) throw new Error(`ClickHouse has not taken what waited within ${DRAIN_MS / 1000} s`);
    const cores = (serverCpuMs(server.pid) - cpuBefore) / (wallMs() - startMs);

    progress('storage: merges settle');
    await mergesSettle(clickhouse);
    await requireRows(clickhouse, rows);
    const [first, last] = [deliveries[0], deliveries.at(-1)];
    if (first === undefined || last === undefined || first === last)
      throw new Error('fewer than two batches');
    const taken = ((last.seq - first.seq) * 1000) / (last.atMs - first.atMs);
    const lags = deliveries.map(({ lagMs }) => lagMs);
    const submits = (await bytesPerRow(clickhouse, rows)).find(({ table }) => table === 'submits');
    return {
      figures: [
        figureOf('storage.rate_rows_s', 'rows/s', [taken], { goal: { least: RATE_GOAL } }),
        figureOf('storage.rate_engine_cores', 'cores', [cores], { goal: { most: 0.7 } }),
        {
          ...figureOf('storage.rate_lag_ms', 'ms', lags, { ratio: 'oldest share when its batch was stored' }),
          value: Math.max(...lags),
        },
        figureOf('storage.rate_bytes_submits', 'B/share', [submits?.bytes ?? 0], { goal: { most: 64 } }),
      ],
      method: [
        `rate: ${rows} shares of ${WORKERS} workers in ${loadS.toFixed(0)} s through journal and lane into the embedded engine, all rollups on; ` +
          `CPU of its process; the writing thread was late by ${thread.maxMs.toFixed(0)} ms at most`,
      ],
    };
  });
}
