// The line from the journal to both stores, with the real journal, the real thread and real servers: what
// is in the journal arrives once, whatever is away or dies in between.
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ClickHouse, openClickHouse } from '../../storage/clickhouse/client.js';
import { migrateClickHouse } from '../../storage/clickhouse/migrate.js';
import { nativeBlocks, SUBMIT_COLUMNS } from '../../storage/clickhouse/native.js';
import { startClickHouse } from '../../storage/embedded/clickhouse.js';
import { startPostgres } from '../../storage/embedded/postgres.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { RoundCounter } from '../../storage/journal/round-counter.js';
import { segmentPath } from '../../storage/journal/segments.js';
import { JournalWriter } from '../../storage/journal/writer.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { activateLanes } from '../../storage/postgres/ledger-lanes.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import { CLICKHOUSE_CURSOR_FILE } from '../../storage/shipper/clickhouse-sink.js';
import type { Consumer, ShipperSettings } from '../../storage/shipper/messages.js';
import { Shipper, statusKey } from '../../storage/shipper/shipper.js';
import {
  TEST_JOB,
  TEST_TARGET,
  TEST_TIME_MS,
  TEST_WORK,
  type TestShare,
  testBatch,
} from '../fixtures/journal-batch.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-shipper-'));
let postgres: Awaited<ReturnType<typeof startPostgres>>;
let engine: Awaited<ReturnType<typeof startClickHouse>>;
let admin: Database;
let run = 0;

beforeAll(async () => {
  postgres = await startPostgres({ dataDir: join(folder, 'stores'), log: () => {} });
  engine = await startClickHouse({
    dataDir: join(folder, 'stores'),
    log: () => {},
    port: 20_000 + (process.pid % 10_000),
  });
  admin = openPostgres({ url: postgres.url, poolSize: 1, timeoutS: 10 });
});

afterAll(async () => {
  await admin?.end({ timeout: 1 });
  await engine?.stop();
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A TCP relay in front of a store: `cut` takes the store away, `freeze` makes it silent. */
class Relay {
  readonly #target: URL;
  #server: Server | null = null;
  #port = 0;
  #frozen = false;
  readonly #sockets = new Set<Socket>();

  constructor(target: string) {
    this.#target = new URL(target);
  }

  async restore(): Promise<void> {
    this.#frozen = false;
    if (this.#server !== null) return;
    this.#server = createServer((near) => {
      const far = new (near.constructor as new () => Socket)();
      far.connect(Number(this.#target.port), this.#target.hostname);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from);
        from.on('error', () => {});
        from.on('data', (bytes) => {
          if (!this.#frozen) to.write(bytes);
        });
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
      }
    });
    await new Promise<void>((resolve) => this.#server?.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (this.#server.address() as { port: number }).port;
  }

  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => (server === null ? resolve() : server.close(() => resolve())));
  }

  freeze(): void {
    this.#frozen = true;
  }

  get url(): string {
    const url = new URL(this.#target);
    url.port = String(this.#port);
    return url.href;
  }
}

/** A journal being written, and who submitted to it so far. */
interface OpenLane {
  nodeId: number;
  journalFolder: string;
  writer: JournalWriter;
  identities: Map<string, number>;
}

describe('the shipper', () => {
  let journalFolder: string;
  let rounds: RoundCounter;
  /** Lanes beside the first. */
  let others: OpenLane[];
  let writer: JournalWriter;
  let database: Database;
  let clickhouse: ClickHouse;
  let toPostgres: Relay;
  let toClickHouse: Relay;
  let settings: ShipperSettings;
  let shipper: Shipper | null;
  let logs: string[];
  let identities: Map<string, number>;

  beforeEach(async () => {
    run++;
    journalFolder = join(folder, `journal${run}`);
    logs = [];
    identities = new Map();
    rounds = new RoundCounter();
    others = [];
    openWriter();
    const name = `ship${process.pid}_${run}`;
    await admin.unsafe(`create database ${name}`);
    const url = new URL(postgres.url);
    url.pathname = `/${name}`;
    toPostgres = new Relay(url.href);
    toClickHouse = new Relay(engine.url);
    await toPostgres.restore();
    await toClickHouse.restore();
    database = openPostgres({ url: url.href, poolSize: 2, timeoutS: 10 });
    clickhouse = openClickHouse({ url: engine.url, ...engine.writer, database: name });
    settings = {
      lanes: [{ nodeId: 0, journalFolder }],
      network: 'regtest',
      defaultScheme: 'pplns',
      clickhouse: { url: toClickHouse.url, ...engine.writer, database: name },
      postgresUrl: toPostgres.url,
      timeoutS: 2,
    };
    shipper = null;
  });

  afterEach(async () => {
    await shipper?.stop(0);
    writer.close();
    for (const lane of others) lane.writer.close();
    await database.end({ timeout: 1 });
    await clickhouse.close();
    await toPostgres.cut();
    await toClickHouse.cut();
  });

  const openJournal = (folder: string, nodeId: number) => {
    const opened = new JournalWriter({ folder, nodeId, nowMs: () => performance.now(), rounds });
    opened.defineJob(1, TEST_JOB);
    return opened;
  };

  function openWriter() {
    writer = openJournal(journalFolder, 0);
    for (const [who, id] of identities) defineIdentity(writer, who, id);
  }

  function addLane(nodeId: number): OpenLane {
    const laneFolder = `${journalFolder}-${nodeId}`;
    const lane = {
      nodeId,
      journalFolder: laneFolder,
      writer: openJournal(laneFolder, nodeId),
      identities: new Map(),
    };
    others.push(lane);
    settings.lanes.push({ nodeId, journalFolder: laneFolder });
    return lane;
  }

  function defineIdentity(to: JournalWriter, who: string, id: number) {
    const [account = '', worker = ''] = who.split('.');
    to.defineIdentity(id, { account, worker, agent: 'test/1', remote: '198.51.100.9' });
  }

  /** Writes shares as one sealed batch, as the connection thread does. */
  function submit(shares: readonly TestShare[], lane?: OpenLane) {
    const { nodeId, writer: to, identities: known } = lane ?? { nodeId: 0, writer, identities };
    const { records } = testBatch(to.nextSeq, shares);
    for (const [index, share] of shares.entries()) {
      let id = known.get(share.who);
      if (id === undefined) {
        id = known.size + 1;
        known.set(share.who, id);
        defineIdentity(to, share.who, id);
      }
      const accepted = (share.verdict ?? 'accepted') === 'accepted';
      const at = to.appendShare(id, 1, accepted, share.block ?? false);
      const from = index * SHARE_RECORD_BYTES;
      to.buffer[at + SHARE.verdict] = records[from + SHARE.verdict] as number;
      records.copy(to.buffer, at + SHARE.session, from + SHARE.session, from + SHARE.seq);
      records.copy(to.buffer, at + SHARE.receivedUs, from + SHARE.receivedUs, from + SHARE.identity);
      records.copy(to.buffer, at + SHARE.ntime, from + SHARE.ntime, from + SHARE.round);
      records.copy(
        to.buffer,
        at + SHARE.extranonce1Bytes,
        from + SHARE.extranonce1Bytes,
        from + SHARE_RECORD_BYTES,
      );
    }
    to.seal();
    shipper?.sealed(nodeId, to.nextSeq - 1);
  }

  const start = () => {
    shipper = new Shipper(settings, { log: (level, message) => logs.push(`${level} ${message}`) });
  };

  const stored = async () => {
    const rows = await clickhouse
      .rows<{ n: string; distinct: string; work: string }>(
        'SELECT count() AS n, uniqExact(node, seq) AS distinct, toString(sumIf(work, verdict = 1)) AS work FROM submits',
      )
      .catch(() => []);
    const totals = await database<{ shares: bigint; work: bigint }[]>`
      select coalesce(sum(shares), 0)::bigint as shares, coalesce(sum(work), 0) as work from share_totals`.catch(
      () => [],
    );
    return {
      clickhouse: {
        n: Number(rows[0]?.n ?? 0),
        distinct: Number(rows[0]?.distinct ?? 0),
        work: BigInt(rows[0]?.work ?? 0),
      },
      postgres: { n: Number(totals[0]?.shares ?? 0n), work: totals[0]?.work ?? 0n },
    };
  };

  /** Waits until both stores hold all of every journal, then checks that they hold it once. */
  async function expectAllStored() {
    const writers = [writer, ...others.map((lane) => lane.writer)];
    const shares = writers.reduce((sum, { nextSeq }) => sum + nextSeq - 1, 0);
    const work = BigInt(writers.reduce((sum, { acceptedTotal }) => sum + acceptedTotal, 0)) * TEST_WORK;
    const whole = { clickhouse: { n: shares, distinct: shares, work }, postgres: { n: shares, work } };
    for (let tries = 0; tries < 200; tries++) {
      const now = await stored();
      if (now.clickhouse.n >= shares && now.postgres.n >= shares) break;
      await sleep(100);
    }
    // A doubled batch would come right behind the first.
    await sleep(300);
    expect(await stored()).toEqual(whole);
  }

  async function untilAway(consumer: Consumer) {
    for (let tries = 0; tries < 150 && shipper?.status.get(statusKey(consumer, 0))?.state !== 'away'; tries++)
      await sleep(100);
    expect(shipper?.status.get(statusKey(consumer, 0))?.state).toBe('away');
    return shipper?.status.get(statusKey(consumer, 0));
  }

  const some = (count: number): TestShare[] =>
    Array.from({ length: count }, (_, i) => ({
      who: i % 3 === 0 ? 'alice.a' : 'bob',
      verdict: i % 10 === 9 ? ('stale' as const) : ('accepted' as const),
    }));

  it('delivers every verdict to ClickHouse and the accepted work to Postgres', async () => {
    start();
    submit([...some(20), { who: 'alice.a', block: true }]);
    submit(some(5));
    await expectAllStored();
    expect(await clickhouse.rows('SELECT count() AS n FROM shares')).toEqual([
      { n: String(writer.acceptedTotal) },
    ]);
    expect(
      await clickhouse.rows("SELECT verdict, remote, hash != '' AS hashed FROM submits WHERE seq = 10"),
    ).toEqual([{ verdict: 'stale', remote: '::ffff:198.51.100.9', hashed: 1 }]);
    expect(await database`select height, round from blocks`).toEqual([{ height: 101, round: 0n }]);
    expect(await shipper?.stop()).toBe(true);
  });

  it('waits for stores that are not up yet, and says so once each', async () => {
    await toPostgres.cut();
    await toClickHouse.cut();
    submit(some(30));
    start();
    expect(await untilAway('ledger')).toMatchObject({ shippedSeq: 0 });
    expect((await untilAway('clickhouse'))?.error).toMatch(/ClickHouse refuses connections/);
    expect(logs.filter((line) => line.startsWith('warn'))).toHaveLength(2);
    await toPostgres.restore();
    await toClickHouse.restore();
    await expectAllStored();
    // Said when the store has confirmed the batch, a moment after its rows are seen.
    const back = () => logs.filter((line) => line.includes('back after'));
    for (let tries = 0; tries < 100 && back().length < 2; tries++) await sleep(100);
    expect(back()).toHaveLength(2);
  });

  it('goes on where it was when a store is cut off and comes back in the middle of work', async () => {
    start();
    for (let round = 0; round < 12; round++) {
      submit(some(50));
      if (round % 4 === 1) await Promise.all([toPostgres.cut(), toClickHouse.cut()]);
      if (round % 4 === 3) await Promise.all([toPostgres.restore(), toClickHouse.restore()]);
      await sleep(60);
    }
    await expectAllStored();
  });

  it('gives up waiting for a frozen store, and stores nothing twice when it thaws', async () => {
    start();
    submit(some(10));
    await expectAllStored();
    toPostgres.freeze();
    toClickHouse.freeze();
    submit(some(10));
    await untilAway('ledger');
    await untilAway('clickhouse');
    await Promise.all([toPostgres.restore(), toClickHouse.restore()]);
    await expectAllStored();
  });

  it('delivers once what was stored just before its own end, cursor not yet written', async () => {
    start();
    submit(some(40));
    await expectAllStored();
    await shipper?.stop();
    // As after a kill between the insert and the cursor file.
    const cursor = join(journalFolder, CLICKHOUSE_CURSOR_FILE);
    writeFileSync(cursor, JSON.stringify({ nodeId: 0, nextSeq: 1, position: { segment: 0, offset: 0 } }));
    submit(some(3));
    start();
    await expectAllStored();
  });

  it('finds out by itself how far ClickHouse is when its cursor file is lost', async () => {
    start();
    submit(some(40));
    submit(some(7));
    await expectAllStored();
    await shipper?.stop();
    rmSync(join(journalFolder, CLICKHOUSE_CURSOR_FILE));
    submit(some(3));
    start();
    await expectAllStored();
  });

  it('feeds a wiped ClickHouse again from the journal', async () => {
    start();
    submit(some(40));
    await expectAllStored();
    await shipper?.stop();
    await clickhouse.command('TRUNCATE TABLE submits');
    submit(some(3));
    start();
    await expectAllStored();
    expect(logs.join('\n')).toMatch(/fed again from the journal/);
  });

  it.each([
    ['ends before the cursors', { oldSegments: 2, newSegment: 1, cursorGone: false }],
    ['has other frames where the cursors point', { oldSegments: 1, newSegment: 1, cursorGone: false }],
    ['has other numbers where the cursors point', { oldSegments: 1, newSegment: 9, cursorGone: false }],
    [
      'has numbers that ClickHouse knows, its cursor gone',
      { oldSegments: 2, newSegment: 1, cursorGone: true },
    ],
  ])('stores nothing from a new journal under an old node id that %s', async (_, old) => {
    if (old.oldSegments === 2) {
      writer.close();
      openWriter();
    }
    start();
    submit(some(5));
    submit(some(5));
    await expectAllStored();
    await shipper?.stop();
    writer.close();
    for (const file of readdirSync(journalFolder)) {
      if (file !== CLICKHOUSE_CURSOR_FILE || old.cursorGone) rmSync(join(journalFolder, file));
    }
    openWriter();
    submit(some(4).map((share) => ({ ...share, atMs: TEST_TIME_MS + 5_000_000 })));
    if (old.newSegment !== 1) {
      renameSync(segmentPath(journalFolder, 1), segmentPath(journalFolder, old.newSegment));
    }
    start();
    for (const consumer of ['ledger', 'clickhouse'] as const) {
      expect(await untilAway(consumer)).toMatchObject({
        state: 'away',
        error: expect.stringMatching(/Put the old journal back|journal is damaged/),
      });
    }
    const { clickhouse: shares, postgres: ledger } = await stored();
    expect([shares.n, ledger.n]).toEqual([10, 10]);
  });

  it('feeds every lane into both stores, whatever is away or dies in between, and says an outage once', async () => {
    addLane(1);
    addLane(2);
    start();
    const everywhere = (count: number) => {
      for (const lane of [undefined, ...others]) submit(some(count), lane);
    };
    everywhere(20);
    await expectAllStored();
    await Promise.all([toPostgres.cut(), toClickHouse.cut()]);
    everywhere(10);
    await untilAway('ledger');
    await untilAway('clickhouse');
    await Promise.all([toPostgres.restore(), toClickHouse.restore()]);
    await expectAllStored();
    await shipper?.kill();
    everywhere(10);
    await expectAllStored();
    expect(logs.filter((line) => line.includes('are delivered later'))).toHaveLength(2);
    for (const nodeId of [0, 1, 2]) {
      for (const consumer of ['ledger', 'clickhouse'] as const) {
        const status = shipper?.status.get(statusKey(consumer, nodeId));
        expect(status).toMatchObject({ consumer, nodeId, shippedSeq: 40, acceptedTotal: 36, state: 'ok' });
      }
    }
    expect(
      await clickhouse.rows('SELECT node, count() AS n FROM submits GROUP BY node ORDER BY node'),
    ).toEqual([0, 1, 2].map((node) => ({ node, n: '40' })));
    expect(shipper?.neededSegment(1)).toBe(1);
    expect(shipper?.neededSegment(9)).toBe(0);
  });

  it('tells the ledger how far a lane without shares has come, and inserts nothing for it', async () => {
    const idle = addLane(1);
    start();
    submit([{ who: 'bob', block: true }]);
    idle.writer.sealWhenDue();
    await expectAllStored();
    const rows = () => database`
      select node_id as node, next_seq as next, round from shipper_cursor where consumer = 'ledger' order by 1`;
    for (let tries = 0; tries < 50 && (await rows()).length < 2; tries++) await sleep(100);
    expect(await rows()).toEqual([
      { node: 0, next: 2n, round: 1n },
      { node: 1, next: 1n, round: 1n },
    ]);
    await shipper?.stop();
    start();
    await sleep(500);
    expect(logs).toEqual([]);
    submit(some(3), idle);
    await expectAllStored();
  });

  it('closes a former lane in the ledger when its journal is booked to its end, not before', async () => {
    const former = addLane(1);
    await migratePostgres(database);
    await activateLanes(database, { running: [0], former: [1] });
    const states = async () =>
      (await database`select state from ledger_lanes order by node_id`).map(({ state }) => state);
    submit(some(5));
    submit(some(5), former);
    await toPostgres.cut();
    start();
    await untilAway('ledger');
    expect(await states()).toEqual(['running', 'former']);
    await toPostgres.restore();
    await expectAllStored();
    for (let tries = 0; tries < 50 && (await states())[1] === 'former'; tries++) await sleep(100);
    expect(await states()).toEqual(['running', 'closed']);
  });

  it('stores nothing from a journal that belongs to another lane', async () => {
    submit(some(5));
    settings.lanes = [{ nodeId: 3, journalFolder }];
    start();
    for (let tries = 0; tries < 100 && shipper?.status.get('ledger/3')?.state !== 'away'; tries++)
      await sleep(50);
    expect(shipper?.status.get('ledger/3')?.error).toMatch(/shares of node 0 there/);
    const { clickhouse: shares, postgres: ledger } = await stored();
    expect([shares.n, ledger.n]).toEqual([0, 0]);
  });

  it('keeps a dying thread from losing or doubling anything', async () => {
    start();
    for (let round = 0; round < 6; round++) {
      submit(some(30));
      await sleep(40);
      // Ends the thread at whatever it is doing; the handle starts another.
      await shipper?.kill();
    }
    await expectAllStored();
  });
});

describe('inserting into ClickHouse', () => {
  it('stores a large batch in one go and drops its repetition, whole or in part', async () => {
    const options = { url: engine.url, ...engine.writer, database: `large${process.pid}` };
    await migrateClickHouse(options);
    const clickhouse = openClickHouse(options);
    const batch = testBatch(
      1,
      Array.from({ length: 150_000 }, (_, i) => ({
        who: `a${i % 50}.w`,
        target: TEST_TARGET >> BigInt(i % 3),
      })),
    );
    for (let times = 0; times < 2; times++) {
      await clickhouse.insertNative('submits', SUBMIT_COLUMNS, nativeBlocks(batch), batch.token);
    }
    const [row] = await clickhouse.rows(
      'SELECT count() AS n, min(seq) AS first, max(seq) AS last, uniqExact(target) AS targets FROM submits',
    );
    expect(row).toEqual({ n: '150000', first: '1', last: '150000', targets: '3' });
    expect(await migrateClickHouse(options)).toEqual([]);
    await clickhouse.close();
  });

  it('gives back every field of a share as it was submitted', async () => {
    const options = { url: engine.url, ...engine.writer, database: `fields${process.pid}` };
    await migrateClickHouse(options);
    const clickhouse = openClickHouse(options);
    const batch = testBatch(41, [
      { who: "o'b\nrian\\.`rig`", verdict: 'low_difficulty', round: 3, block: true },
    ]);
    await clickhouse.insertNative('submits', SUBMIT_COLUMNS, nativeBlocks(batch), batch.token);
    const [row] = await clickhouse.rows('SELECT *, toUInt32(ntime) AS header_time FROM submits');
    expect(row).toMatchObject({
      ts: '2026-11-21 03:00:00.000',
      seq: '41',
      account: "o'b\nrian\\",
      worker: '`rig`',
      session: 7,
      agent: 'test/1',
      job: TEST_JOB.jobId,
      height: TEST_JOB.height,
      previous_block: TEST_JOB.previousBlock,
      verdict: 'low_difficulty',
      work: TEST_WORK.toString(),
      target: `0001${'0'.repeat(60)}`,
      extranonce1: '0a0a0001',
      extranonce2: '000000000000000f',
      header_time: TEST_JOB.time,
      version: 0x20000000,
      nonce: (0x0a0a0a0a + 41 * 0x01000193) >>> 0,
      latency_us: 250,
      network_difficulty: 1,
      round: 3,
      is_block: true,
    });
    const hard = testBatch(42, [{ who: 'a', target: 1n << 150n }]);
    await clickhouse.insertNative('submits', SUBMIT_COLUMNS, nativeBlocks(hard), hard.token);
    const [{ work } = { work: '' }] = await clickhouse.rows<{ work: string }>(
      'SELECT toString(work) AS work FROM submits WHERE seq = 42',
    );
    expect(work).toBe(((1n << 256n) / ((1n << 150n) + 1n)).toString());
    await clickhouse.close();
  });
});
