// `millrace reconcile` as an operator runs it, on a real journal, chdb and PostgreSQL: first all is equal, then one
// share is spoiled by hand in one store, and exactly that share is named.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ClickHouse, openClickHouse } from '../../storage/clickhouse/client.js';
import { type EmbeddedClickHouse, startClickHouse } from '../../storage/embedded/clickhouse.js';
import { type EmbeddedPostgres, startPostgres } from '../../storage/embedded/postgres.js';
import { laneFolder } from '../../storage/journal/lanes.js';
import { JournalReader } from '../../storage/journal/reader.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { segmentPath } from '../../storage/journal/segments.js';
import { JournalWriter } from '../../storage/journal/writer.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import { WorkStore } from '../../storage/postgres/work-store.js';
import { projectRoot } from '../../storage/project-root.js';
import { ClickHouseSink } from '../../storage/shipper/clickhouse-sink.js';
import { TEST_JOB, TEST_TIME_MS, TEST_WORK, type TestShare, testBatch } from '../fixtures/journal-batch.js';

const dataDir = mkdtempSync(join(tmpdir(), 'millrace-reconcile-'));
const NODES = [1, 2];
const FROM = '2026-11-21T03:00:00Z';
const TO = '2026-11-21T03:10:00Z';
let engine: EmbeddedClickHouse;
let postgres: EmbeddedPostgres;
let clickhouse: ClickHouse;
/** Of another database: it stays when ours is made anew. */
let system: ClickHouse;
let database: Database;

interface Report {
  compared: number;
  different: number;
  pending: number;
  storesOnly: number;
  shares: number;
  minutes: { node: number; minute: string; state: string; pending: string[] }[];
  differences: {
    node: number;
    minute: string;
    store: string;
    kind: string;
    seqs: number[];
    detail: string;
  }[];
}

function millrace(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const program = join(projectRoot(), 'dist', 'engine', 'main.js');
  const command = [program, 'reconcile', '--data-dir', dataDir, '--from', FROM, '--to', TO, ...args];
  return new Promise((resolve) => {
    execFile(process.execPath, command, { cwd: dataDir, maxBuffer: 1 << 28 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

async function report(...args: string[]): Promise<Report & { code: number }> {
  const { code, out, err } = await millrace('--json', ...args);
  if (out === '') throw new Error(err);
  return { code, ...(JSON.parse(out) as Report) };
}

/** Three minutes of one lane: a worker of its own for each share of the first, many shares a worker in the others. */
function shares(): TestShare[] {
  const first = Array.from(
    { length: 8 },
    (_, i): TestShare => ({ who: `solo${i}.rig`, atMs: TEST_TIME_MS + i }),
  );
  const second = Array.from({ length: 20 }, (_, i): TestShare => {
    const verdict = i % 5 === 4 ? ('stale' as const) : ('accepted' as const);
    return {
      who: i % 2 === 0 ? 'alice.a' : 'bob',
      verdict,
      atMs: TEST_TIME_MS + 60_000 + i,
      target: (1n << 240n) - BigInt(i) * (1n << 232n),
    };
  });
  const third = Array.from(
    { length: 10 },
    (_, i): TestShare => ({ who: 'alice.a', atMs: TEST_TIME_MS + 120_000 + i }),
  );
  return [...first, ...second, { who: '', verdict: 'unauthorized', atMs: TEST_TIME_MS + 60_100 }, ...third];
}

/** Writes `list` as batches of seven, as a connection thread does. */
function journal(nodeId: number, list: readonly TestShare[], segmentBytes = 1500): void {
  const writer = new JournalWriter({
    ...{ folder: laneFolder(dataDir, nodeId), nodeId, nowMs: () => 0, segmentBytes },
  });
  writer.defineJob(1, TEST_JOB);
  const ids = new Map<string, number>();
  for (let start = 0; start < list.length; start += 7) {
    const part = list.slice(start, start + 7);
    const { records } = testBatch(writer.nextSeq, part, nodeId);
    for (const [index, share] of part.entries()) {
      let id = ids.get(share.who);
      if (id === undefined) {
        id = ids.size + 1;
        ids.set(share.who, id);
        const [account = '', worker = ''] = share.who.split('.');
        writer.defineIdentity(id, { account, worker, agent: 'test/1', remote: '198.51.100.9' });
      }
      const from = index * SHARE_RECORD_BYTES;
      const accepted = (share.verdict ?? 'accepted') === 'accepted';
      const at = writer.appendShare(id, 1, accepted, false);
      writer.buffer[at + SHARE.verdict] = records[from + SHARE.verdict] as number;
      records.copy(writer.buffer, at + SHARE.receivedUs, from + SHARE.receivedUs, from + SHARE.identity);
      records.copy(writer.buffer, at + SHARE.difficulty, from + SHARE.difficulty, from + SHARE_RECORD_BYTES);
    }
    writer.seal();
  }
  writer.close();
}

/** Brings the lane into the stores; only so many batches into Postgres. */
async function ship(nodeId: number, batchesToPostgres = Number.POSITIVE_INFINITY): Promise<void> {
  const folder = laneFolder(dataDir, nodeId);
  const sink = new ClickHouseSink({ url: engine.url, ...engine.writer }, nodeId, folder, () => {});
  await sink.open();
  const work = new WorkStore(database, { defaultScheme: 'pplns', isAddress: () => false });
  const reader = new JournalReader(folder, null);
  for (let batch = reader.next(), booked = 0; batch !== null; batch = reader.next()) {
    await sink.deliver(batch);
    if (booked++ < batchesToPostgres) await work.applyBatch(batch);
  }
  reader.close();
  await sink.close();
}

beforeAll(async () => {
  engine = await startClickHouse({
    ...{ dataDir: join(dataDir, 'clickhouse'), log: () => {}, port: 21_000 + (process.pid % 9000) },
  });
  postgres = await startPostgres({ dataDir: join(dataDir, 'postgres'), log: () => {} });
  clickhouse = openClickHouse({ url: engine.url, ...engine.writer });
  system = openClickHouse({ url: engine.url, ...engine.writer, database: 'system' });
  database = openPostgres({ url: postgres.url, poolSize: 2, timeoutS: 20 });
  await migratePostgres(database);
});

afterAll(async () => {
  await clickhouse?.close();
  await system?.close();
  await database?.end({ timeout: 1 });
  await engine?.stop();
  await postgres?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

beforeEach(async () => {
  for (const nodeId of NODES) rmSync(laneFolder(dataDir, nodeId), { recursive: true, force: true });
  await system.command('DROP DATABASE pool SYNC');
  await system.command('CREATE DATABASE pool');
  await database.unsafe('truncate work_slices, reject_slices, share_totals, shipper_cursor');
  for (const nodeId of NODES) {
    journal(nodeId, shares());
    await ship(nodeId);
  }
});

/** Changes rows of ClickHouse behind its back. */
const spoil = (sql: string) => clickhouse.command(`${sql} SETTINGS mutations_sync = 1`);
/** A second row of the same share. */
const double = (condition: string) =>
  clickhouse.command(
    `INSERT INTO submits SELECT * FROM submits WHERE ${condition} SETTINGS insert_deduplicate = 0`,
  );

describe('millrace reconcile', () => {
  it('finds nothing where nothing differs, and says what it compared', async () => {
    const { code, ...equal } = await report();
    expect(equal).toMatchObject({ compared: 6, different: 0, pending: 0, storesOnly: 0, shares: 68 });
    expect(code).toBe(0);
    const { code: again, out } = await millrace();
    expect(out).toBe('6 minutes, 68 accepted shares: nothing differs\n');
    expect(again).toBe(0);
  });

  it('names the share that ClickHouse lost, doubled, changed, moved or made up', async () => {
    await spoil('DELETE FROM submits WHERE node = 1 AND seq = 3');
    await double('node = 1 AND seq = 12');
    await spoil('ALTER TABLE submits UPDATE work = work + 1 WHERE node = 2 AND seq = 32');
    const { code, different, differences } = await report();
    expect(code).toBe(1);
    expect(different).toBe(3);
    expect(differences).toMatchObject([
      { node: 1, minute: '2026-11-21T03:00Z', store: 'clickhouse', kind: 'missing', seqs: [3] },
      { node: 1, minute: '2026-11-21T03:01Z', store: 'clickhouse', kind: 'doubled', seqs: [12] },
      { node: 2, minute: '2026-11-21T03:02Z', store: 'clickhouse', kind: 'different', seqs: [32] },
    ]);
    expect(differences[2]?.detail).toBe(`ClickHouse has work ${TEST_WORK + 1n} instead of ${TEST_WORK}`);
  });

  it('finds a row again that stands in another minute', async () => {
    await clickhouse.command(
      'INSERT INTO submits SELECT * REPLACE (ts + 60 AS ts) FROM submits WHERE node = 2 AND seq = 5',
    );
    await spoil(
      "DELETE FROM submits WHERE node = 2 AND seq = 5 AND ts < toDateTime64('2026-11-21 03:01:00', 3, 'UTC')",
    );
    expect((await report()).differences).toMatchObject(
      [
        { minute: '2026-11-21T03:00Z', kind: 'different', seqs: [5], detail: /03:01:00/ },
        { minute: '2026-11-21T03:01Z', kind: 'unknown', seqs: [5] },
      ].map(({ detail, ...rest }) =>
        detail === undefined ? rest : { ...rest, detail: expect.stringMatching(detail) },
      ),
    );
  });

  it('names the share that Postgres lost, doubled or changed', async () => {
    const slice = (account: string) => database`
      (select a.id from accounts a where a.name = ${account})`;
    await database`delete from work_slices where node_id = 1 and account_id = ${slice('solo3')}`;
    await database`update work_slices set shares = 2, work = work * 2 where node_id = 1 and account_id = ${slice('solo5')}`;
    await database`update work_slices set work = work + 7 where node_id = 2 and account_id = ${slice('solo6')}`;
    const { code, differences } = await report();
    expect(code).toBe(1);
    expect(differences).toMatchObject([
      { node: 1, store: 'postgres', kind: 'missing', seqs: [4] },
      { node: 1, store: 'postgres', kind: 'doubled', seqs: [6] },
      { node: 2, store: 'postgres', kind: 'different', seqs: [7] },
    ]);
  });

  it('finds the one share of many in a slice by its work', async () => {
    // The third share of the second minute: number 11, with a target of its own.
    const [row] = await clickhouse.rows<{ work: string }>(
      'SELECT toString(work) AS work FROM submits WHERE node = 1 AND seq = 11',
    );
    await database`
      update work_slices set shares = shares - 1, work = work - ${BigInt(row?.work ?? 0)}
      where node_id = 1 and bucket_start = '2026-11-21T03:01:00Z'
        and account_id = (select id from accounts where name = 'alice')`;
    expect((await report()).differences).toMatchObject([
      { node: 1, store: 'postgres', kind: 'missing', seqs: [11] },
    ]);
  });

  it('names the refused submits that Postgres miscounts', async () => {
    await database`update reject_slices set shares = shares + 1
      where node_id = 2 and account_id = (select id from accounts where name = 'bob')`;
    const [only] = (await report()).differences;
    expect(only).toMatchObject({ node: 2, store: 'postgres', kind: 'doubled' });
    expect(only?.seqs).toEqual([18, 28]);
  });

  it('shows a table and bounded lines to a person', async () => {
    await spoil('DELETE FROM submits WHERE node = 1 AND seq BETWEEN 29 AND 39');
    const { code, out } = await millrace('--rows', '4');
    expect(code).toBe(1);
    expect(out).toMatch(/^minute +node +journal +clickhouse +postgres\n/);
    expect(out).toMatch(/2026-11-21T03:02Z +1 +accepted +10 +0 +10\n/);
    expect(out.match(/missing: share \d+/g)).toEqual(
      ['missing: share 29', 'missing: share 30', 'missing: share 31', 'missing: share 32'].slice(0, 4),
    );
    expect(out).toContain('There may be more');
  });

  it('calls minutes pending that a store has not reached, and different those it has', async () => {
    await database.unsafe('truncate work_slices, reject_slices, share_totals, shipper_cursor');
    await ship(1, 2);
    await ship(2);
    const behind = await report();
    expect(behind.code).toBe(0);
    expect(
      behind.minutes.map(({ node, minute, state, pending }) => ({ node, minute, state, pending })),
    ).toEqual([
      { node: 1, minute: '2026-11-21T03:01Z', state: 'pending', pending: ['postgres'] },
      { node: 1, minute: '2026-11-21T03:02Z', state: 'pending', pending: ['postgres'] },
    ]);
    await spoil('DELETE FROM submits WHERE node = 1 AND seq = 31');
    expect((await report()).differences).toMatchObject([
      { store: 'clickhouse', kind: 'missing', seqs: [31] },
    ]);
  });

  it('compares the stores with each other where the segments are gone', async () => {
    const folder = laneFolder(dataDir, 1);
    const segments = readdirSync(folder)
      .filter((name) => name.endsWith('.journal'))
      .sort();
    expect(segments.length).toBeGreaterThan(3);
    rmSync(segmentPath(folder, Number(segments[0]?.slice(0, 10))));
    const { storesOnly, different } = await report();
    expect({ storesOnly, different }).toEqual({ storesOnly: 1, different: 0 });
    await database`delete from work_slices where node_id = 1 and account_id = (select id from accounts where name = 'solo3')`;
    expect((await report()).differences).toMatchObject([{ store: 'postgres', kind: 'missing', seqs: [4] }]);
  });

  it('ends with 69 when a store does not answer, and with 64 for a wrong flag', async () => {
    await database.unsafe('alter table work_slices rename to hidden');
    try {
      const { code, err } = await millrace();
      expect(code).toBe(69);
      expect(err).toContain('Postgres');
    } finally {
      await database.unsafe('alter table hidden rename to work_slices');
    }
    expect((await millrace('--rows', '0')).code).toBe(64);
  });
});
