// The sums of ClickHouse on the real engine: exact whatever is delivered twice or dies in between, and of rows that
// were there before.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClickHouse } from '../../storage/clickhouse/client.js';
import { migrateClickHouse } from '../../storage/clickhouse/migrate.js';
import { settleBatch } from '../../storage/clickhouse/settle-batch.js';
import type { JournalBatch } from '../../storage/journal/batch.js';
import { projectRoot } from '../../storage/project-root.js';
import { plainShares } from '../fixtures/plain-shares.js';
import { day, insert, type ShareServer, startShareServer } from '../fixtures/share-server.js';
import { expectSums } from '../fixtures/share-sums.js';

const MIGRATIONS = join(projectRoot(), 'storage', 'clickhouse', 'migrations');
let server: ShareServer;

beforeAll(async () => {
  server = await startShareServer();
});

afterAll(async () => {
  await server?.stop();
});

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
        // As the shipper does after a failure.
        const settle = async () => {
          await insert(clickhouse, batch);
          await settleBatch(clickhouse, batch);
        };
        const answer = await settle().catch((error: unknown) => error);
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

  /** The encoder of today sends columns that tables of then do not have. */
  async function addColumns(clickhouse: ClickHouse): Promise<void> {
    const [columns = ''] = readFileSync(join(MIGRATIONS, '006_schemes.sql'), 'utf8').split(';\n');
    await clickhouse.command(columns.replace('{{ON_CLUSTER}}', ''));
  }

  /** Journals of then did not say it. */
  const withoutScheme = (batch: JournalBatch): JournalBatch => ({
    ...batch,
    identities: new Map([...batch.identities].map(([id, { scheme: _, ...who }]) => [id, who])),
  });

  it('gets the sums of all of them, and of those that come later', async () => {
    const options = server.optionsOf('older');
    await migrateClickHouse(options, undefined, filesOf('older', before));
    const clickhouse = server.connect(server.optionsOf('older'));
    await addColumns(clickhouse);
    const batches = day(4).map((batch, index) => (index < 2 ? withoutScheme(batch) : batch));
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
    await addColumns(clickhouse);
    const batches = day(5).map((batch, index) => (index < 2 ? withoutScheme(batch) : batch));
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
