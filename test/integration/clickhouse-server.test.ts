// What a server or cluster of the operator's own gets, as far as the embedded engine can say: it knows neither users nor
// Keeper, so those statements are only parsed. Keeping rows for some days runs for real.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { distributedStatements } from '../../storage/clickhouse/cluster.js';
import { migrateClickHouse } from '../../storage/clickhouse/migrate.js';
import { isKept, tableFacts } from '../../storage/clickhouse/retention.js';
import { schemaOf, schemaStatements, statements } from '../../storage/clickhouse/schema.js';
import { settleBatch } from '../../storage/clickhouse/settle-batch.js';
import type { JournalBatch } from '../../storage/journal/batch.js';
import { projectRoot } from '../../storage/project-root.js';
import { plainShares } from '../fixtures/plain-shares.js';
import { DAY_START_MS, day, insert, type ShareServer, startShareServer } from '../fixtures/share-server.js';
import { expectSums } from '../fixtures/share-sums.js';

const DAY_MS = 86_400_000;
let server: ShareServer;

beforeAll(async () => {
  server = await startShareServer();
});

afterAll(async () => {
  await server?.stop();
});

describe('the schema on a cluster', () => {
  const parses = async (sql: readonly string[]) => {
    const clickhouse = server.connect(server.optionsOf('default'));
    for (const statement of sql) {
      await clickhouse.command(`EXPLAIN AST ${statement}`).catch((error: unknown) => {
        throw new Error(`${(error as Error).message} in: ${statement}`);
      });
    }
  };

  it('parses, every table replicated and every statement on the cluster', async () => {
    const all = schemaStatements(schemaOf('farm'));
    expect(all.length).toBeGreaterThanOrEqual(50);
    for (const statement of all) {
      expect(statement).not.toMatch(/\{\{|\}\}/);
      if (!statement.startsWith('INSERT')) expect(statement).toMatch(/ON CLUSTER farm/);
      if (/^CREATE TABLE/.test(statement))
        expect(statement).toMatch(/ENGINE = Replicated(Aggregating)?MergeTree\('/);
    }
    // What fills sums is the same as on one server, and runs there.
    await parses(all.filter((statement) => !statement.startsWith('INSERT')));
  });

  it('has each table and each view over all shards', async () => {
    const { database, tables, views } = distributedStatements('farm', 'pool');
    expect(database).toBe('pool_all');
    const local = await server.migrated('local');
    const names = await local.rows<{ name: string; view: number }>(
      `SELECT name, engine = 'View' AS view FROM system.tables
       WHERE database = 'local' AND engine != 'MaterializedView' AND name != 'schema_migrations' ORDER BY name`,
    );
    const named = (sql: readonly string[], form: RegExp) =>
      sql.flatMap((statement) => form.exec(statement)?.[1] ?? []).sort();
    const expected = (view: number) => names.filter((each) => each.view === view).map(({ name }) => name);
    expect(named(tables, /^CREATE OR REPLACE TABLE pool_all\.(\w+)/)).toEqual(expected(0));
    expect(named(views, /^CREATE OR REPLACE VIEW (\w+)/)).toEqual(expected(1));
    await parses([...tables, ...views]);
  });

  it.each(['', "x'; DROP TABLE submits", 'a b'])('refuses the cluster %j', (name) => {
    expect(() => schemaOf(name)).toThrow(/no name of a ClickHouse cluster/);
  });

  it('has an analyst whose statements parse', async () => {
    const file = readFileSync(join(projectRoot(), 'storage', 'clickhouse', 'analyst.sql'), 'utf8');
    for (const onCluster of ['', 'ON CLUSTER farm']) {
      const filled = file
        .replaceAll('{{DATABASE}}', 'pool')
        .replaceAll('{{PASSWORD}}', 'secret')
        .replaceAll('{{ON_CLUSTER}}', onCluster);
      const all = statements(filled);
      expect(all).toHaveLength(6);
      await parses(all);
    }
  });
});

describe('keeping rows for some days', () => {
  it('drops shares and keeps their sums, and is undone by the setting', async () => {
    const options = server.optionsOf('kept');
    const clickhouse = await server.migrated('kept');
    const batches = day(21);
    for (const batch of batches.slice(0, 3)) await insert(clickhouse, batch);
    await migrateClickHouse({ ...options, keep: { submits: 7, minutes: null, hours: 30 } });
    expect((await tableFacts(clickhouse)).days).toEqual({ submits: 7, submits_1m: null, submits_1h: 30 });
    // The engine drops whole parts by itself, in its own time.
    for (const table of ['submits', 'submits_1h']) await clickhouse.command(`OPTIMIZE TABLE ${table} FINAL`);
    const rows = async (table: string) => {
      const [row] = await clickhouse.rows<{ n: string }>(`SELECT count() AS n FROM ${table}`);
      return Number(row?.n);
    };
    expect(await rows('submits')).toBe(0);
    expect(await rows('submits_1h')).toBe(0);
    const shares = batches.slice(0, 3).flatMap(plainShares);
    const [kept] = await clickhouse.rows<{ n: string }>('SELECT sum(submits_1m.shares) AS n FROM submits_1m');
    expect(Number(kept?.n)).toBe(shares.length);

    // A batch that comes so late is gone when it arrives: nothing is wrong with sums that say otherwise.
    expect(await settleBatch(clickhouse, batches[2] as JournalBatch)).toEqual([]);
    expect(
      Number(
        (await clickhouse.rows<{ n: string }>('SELECT sum(submits_1d.shares) AS n FROM submits_1d'))[0]?.n,
      ),
    ).toBe(shares.length);

    await migrateClickHouse({ ...options, keep: { submits: null, minutes: null, hours: null } });
    expect((await tableFacts(clickhouse)).days).toEqual({
      submits: null,
      submits_1m: null,
      submits_1h: null,
    });
    expect(await rows('submits')).toBe(0);
    await insert(clickhouse, batches[3] as JournalBatch);
    expect(await rows('submits')).toBe(batches[3]?.shares);
  });

  it('changes nothing of what is younger', async () => {
    const clickhouse = await server.migrated('young');
    const keep = Math.ceil((Date.now() - DAY_START_MS) / DAY_MS) + 5;
    await migrateClickHouse({
      ...server.optionsOf('young'),
      keep: { submits: keep, minutes: keep, hours: keep },
    });
    const batches = day(22);
    for (const batch of batches) await insert(clickhouse, batch);
    await clickhouse.command('OPTIMIZE TABLE submits FINAL');
    await expectSums(clickhouse, batches.flatMap(plainShares));
    const facts = await tableFacts(clickhouse);
    expect(isKept(facts, 'submits', DAY_START_MS, Date.now())).toBe(true);
    expect(isKept(facts, 'submits', DAY_START_MS - 5 * DAY_MS, Date.now())).toBe(false);
  });
});
