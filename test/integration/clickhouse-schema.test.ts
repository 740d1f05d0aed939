// The sums of ClickHouse on the real engine: exact whatever is delivered twice or dies in between, and of rows that
// were there before.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClickHouse } from '../../storage/clickhouse/client.js';
import { migrateClickHouse } from '../../storage/clickhouse/migrate.js';
import type { JournalBatch } from '../../storage/journal/batch.js';
import { projectRoot } from '../../storage/project-root.js';
import { type PlainShare, plainShares } from '../fixtures/plain-shares.js';
import {
  day,
  floorTo,
  insert,
  type ShareServer,
  startShareServer,
  sumsBy,
  utc,
} from '../fixtures/share-server.js';

const MIGRATIONS = join(projectRoot(), 'storage', 'clickhouse', 'migrations');
let server: ShareServer;

beforeAll(async () => {
  server = await startShareServer();
});

afterAll(async () => {
  await server?.stop();
});

/** All sums of the database, each compared with those of `shares`. */
async function expectSums(clickhouse: ClickHouse, shares: readonly PlainShare[]): Promise<void> {
  for (const [table, step] of [
    ['submits_1m', 60_000],
    ['submits_1h', 3_600_000],
    ['submits_1d', 86_400_000],
  ] as const) {
    const rows = await clickhouse.rows<{ name: string; n: string; hashes: string }>(
      `SELECT concat(toString(t), ' ', toString(round), ' ', account, '.', worker, ' ', verdict) AS name,
         sum(x.shares) AS n, toString(sum(x.work)) AS hashes FROM ${table} AS x GROUP BY name`,
    );
    const found = Object.fromEntries(
      rows.map(({ name, n, hashes }) => [name, { shares: Number(n), work: BigInt(hashes) }]),
    );
    const expected = sumsBy(
      shares,
      (s) => `${utc(floorTo(s.atMs, step))} ${s.round} ${s.account}.${s.worker} ${s.verdict}`,
    );
    expect(found).toEqual(expected);
  }
  const accepted = shares.filter(({ verdict }) => verdict === 'accepted');
  const [counts] = await clickhouse.rows<{ node: number; rows: string; difficulty: number; work: string }>(
    'SELECT node, rows, difficulty, toString(work) AS work FROM share_counts',
  );
  expect(counts).toMatchObject({
    node: 1,
    rows: String(accepted.length),
    work: accepted.reduce((sum, { work }) => sum + work, 0n).toString(),
  });
  expect(counts?.difficulty).toBeCloseTo(
    accepted.reduce((sum, { difficulty }) => sum + difficulty, 0),
    3,
  );
  expect(await clickhouse.rows('SELECT differs, submits FROM rollup_differences')).toEqual([
    { differs: 0, submits: String(shares.length) },
  ]);
}

describe('the sums by minute, hour, day and node', () => {
  it('are exact, and a batch that is delivered again changes none of them', async () => {
    const clickhouse = await server.migrated('twice');
    const batches = day(1);
    for (const batch of batches) await insert(clickhouse, batch);
    for (const batch of batches.toReversed()) await insert(clickhouse, batch);
    await expectSums(clickhouse, batches.flatMap(plainShares));
  });

  it.each(['submits', 'submits_1m', 'submits_1h'])(
    'are exact when an insert broke off behind %s and is sent again',
    async (table) => {
      const clickhouse = await server.migrated(`broken_${table}`);
      const [first, second] = day(2) as [JournalBatch, JournalBatch];
      await insert(clickhouse, first);
      await clickhouse.command('CREATE TABLE nowhere (x UInt8) ENGINE = MergeTree ORDER BY x');
      await clickhouse.command(
        `CREATE MATERIALIZED VIEW faulty TO nowhere AS SELECT toUInt8(throwIf(count() > 0, 'injected')) AS x FROM ${table}`,
      );
      for (let attempt = 0; attempt < 3; attempt++) {
        await expect(insert(clickhouse, second)).rejects.toThrow(/injected/);
      }
      await clickhouse.command('DROP VIEW faulty SYNC');
      for (let attempt = 0; attempt < 2; attempt++) await insert(clickhouse, second);
      await expectSums(clickhouse, [first, second].flatMap(plainShares));
    },
  );

  it('are exact after kills of the engine between the table and its sums', async () => {
    const clickhouse = await server.migrated('killed');
    // Sleeping views make an insert last for half a second: kills then fall between one table and the next.
    await clickhouse.command('CREATE TABLE nowhere (x UInt8) ENGINE = MergeTree ORDER BY x');
    for (const table of ['submits', 'submits_1m', 'submits_1h']) {
      await clickhouse.command(
        `CREATE MATERIALIZED VIEW slow_${table} TO nowhere AS SELECT toUInt8(sleep(0.15)) AS x FROM ${table} LIMIT 1`,
      );
    }
    const batches = day(3);
    for (const [index, batch] of [...batches, ...batches].entries()) {
      const { pid } = server.engine;
      if (index < batches.length) setTimeout(() => killed(pid), 80 + index * 130);
      for (;;) {
        const answer = await insert(clickhouse, batch).catch((error: unknown) => error);
        if (answer === undefined) break;
        await sleep(50);
      }
    }
    await expectSums(clickhouse, batches.flatMap(plainShares));
  }, 120_000);
});

function killed(pid: number): void {
  // 0 while it is being started again; to kill() that would mean this very process group.
  if (pid === 0) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was killed a moment ago and is being started again.
  }
}

describe('a database with rows from before the sums', () => {
  const before = ['001_submits.sql', '002_shares.sql', '003_pool_rounds.sql'];

  function filesOf(name: string, files: readonly string[]): string {
    const target = join(server.folder, name);
    mkdirSync(target);
    for (const file of files) copyFileSync(join(MIGRATIONS, file), join(target, file));
    return target;
  }

  it('gets the sums of all of them, and of those that come later', async () => {
    const options = server.optionsOf('older');
    await migrateClickHouse(options, undefined, filesOf('older', before));
    const clickhouse = server.connect(server.optionsOf('older'));
    const batches = day(4);
    for (const batch of batches.slice(0, 2)) await insert(clickhouse, batch);
    expect(await migrateClickHouse(options)).toEqual(
      readdirSync(MIGRATIONS)
        .slice(3)
        .map((_, index) => index + 4),
    );
    await expectSums(clickhouse, batches.slice(0, 2).flatMap(plainShares));
    for (const batch of batches) await insert(clickhouse, batch);
    await expectSums(clickhouse, batches.flatMap(plainShares));
  });

  it('gets them once, though the start that made them died and several lanes start at once', async () => {
    const options = server.optionsOf('interrupted');
    const files = filesOf('interrupted', before);
    await migrateClickHouse(options, undefined, files);
    const clickhouse = server.connect(server.optionsOf('interrupted'));
    const batches = day(5);
    for (const batch of batches.slice(0, 2)) await insert(clickhouse, batch);
    const rollups = readFileSync(join(MIGRATIONS, '004_rollups.sql'), 'utf8');
    writeFileSync(join(files, '004_rollups.sql'), `${rollups}\nSELECT throwIf(1, 'injected');\n`);
    await expect(migrateClickHouse(options, undefined, files)).rejects.toThrow(/injected/);
    const ran = await Promise.all([1, 2, 3].map(() => migrateClickHouse(options)));
    expect(ran.slice(1)).toEqual([[], []]);
    for (const batch of batches) await insert(clickhouse, batch);
    await expectSums(clickhouse, batches.flatMap(plainShares));
  });
});
