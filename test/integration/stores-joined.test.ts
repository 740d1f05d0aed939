// A store that is behind gets batches joined, and whatever dies in between it has every share once: the real lane and
// sinks on real servers, with random journals that grow meanwhile and faults at every step of a delivery.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { targetToBytesLE } from '../../engine/bitcoin/target.js';
import { seededRandom } from '../../loadtest/soak/seeded-random.js';
import { openClickHouse } from '../../storage/clickhouse/client.js';
import { insertBatch } from '../../storage/clickhouse/settle-batch.js';
import { startClickHouse } from '../../storage/embedded/clickhouse.js';
import { findFreePort } from '../../storage/embedded/free-port.js';
import { startPostgres } from '../../storage/embedded/postgres.js';
import type { JournalBatch } from '../../storage/journal/batch.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { RoundCounter } from '../../storage/journal/round-counter.js';
import { JournalWriter } from '../../storage/journal/writer.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { CLICKHOUSE_CURSOR_FILE, ClickHouseSink } from '../../storage/shipper/clickhouse-sink.js';
import { readCursor } from '../../storage/shipper/cursor-file.js';
import { Lane } from '../../storage/shipper/lane.js';
import { OutageLog } from '../../storage/shipper/outage-log.js';
import { PostgresSink } from '../../storage/shipper/postgres-sink.js';
import type { Sink, SinkStart } from '../../storage/shipper/sink.js';
import { TEST_JOB, TEST_TARGET, TEST_TIME_MS } from '../fixtures/journal-batch.js';

const NODE_ID = 3;
const WORKERS = 4;
/** One share in so many milliseconds: a few batches fill more than one minute. */
const STEP_MS = 7000;
const DEADLINE_MS = 120_000;

const LEFT_BEHIND = ['rows', 'a part', 'rows without sums', 'sums without rows'] as const;
/** Where a delivery dies, and what the insert that was on its way left behind. */
interface Fault {
  at: 'the cut' | 'the insert' | 'the cursor';
  left?: (typeof LEFT_BEHIND)[number];
  cursorLost?: boolean;
}

const folder = mkdtempSync(join(tmpdir(), 'millrace-joined-'));
let postgres: Awaited<ReturnType<typeof startPostgres>>;
let engine: Awaited<ReturnType<typeof startClickHouse>>;
let admin: Database;
let runs = 0;

beforeAll(async () => {
  postgres = await startPostgres({ dataDir: join(folder, 'stores'), log: () => {} });
  engine = await startClickHouse({
    dataDir: join(folder, 'stores'),
    log: () => {},
    port: await findFreePort(),
  });
  admin = openPostgres({ url: postgres.url, poolSize: 1, timeoutS: 10 });
});

afterAll(async () => {
  await admin?.end({ timeout: 1 });
  await engine?.stop();
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The journal of one lane, and how many shares each account has in it. */
class GrowingJournal {
  readonly folder: string;
  readonly accounts = new Map<string, number>();
  readonly #random: () => number;
  readonly #rounds = new RoundCounter();
  readonly #segmentBytes: number;
  #writer: JournalWriter;
  #starts = 0;
  #atMs = TEST_TIME_MS;

  constructor(path: string, random: () => number, segmentBytes: number) {
    this.folder = path;
    this.#random = random;
    this.#segmentBytes = segmentBytes;
    this.#writer = this.#open();
  }

  get lastSeq(): number {
    return this.#writer.nextSeq - 1;
  }

  /** Seals `batches` more, of up to 12 shares each. */
  grow(batches: number): void {
    for (let batch = 0; batch < batches; batch++) {
      const shares = 1 + Math.floor(this.#random() * 12);
      for (let share = 0; share < shares; share++) this.#append();
      this.#writer.seal();
      if (this.#random() < 0.2) {
        this.#rounds.next();
        this.#writer.sealWhenDue();
      }
      if (this.#random() < 0.1) {
        this.#writer.close();
        this.#writer = this.#open();
      }
    }
  }

  close(): void {
    this.#writer.close();
  }

  #open(): JournalWriter {
    const { folder: path } = this;
    const writer = new JournalWriter({
      ...{ folder: path, nodeId: NODE_ID, rounds: this.#rounds, segmentBytes: this.#segmentBytes },
      nowMs: () => performance.now(),
    });
    writer.defineJob(1, TEST_JOB);
    // After a restart the same number means somebody else.
    for (let id = 1; id <= WORKERS; id++) {
      const account = `account${(id + this.#starts) % WORKERS}`;
      writer.defineIdentity(id, { account, worker: 'w', agent: 'test/1', remote: '198.51.100.9' });
    }
    this.#starts++;
    return writer;
  }

  #append(): void {
    const id = 1 + Math.floor(this.#random() * WORKERS);
    const at = this.#writer.appendShare(id, 1, true, false);
    const { buffer } = this.#writer;
    buffer[at + SHARE.verdict] = 1;
    buffer.writeBigUInt64LE(BigInt(this.#atMs) * 1000n, at + SHARE.receivedUs);
    Buffer.from(targetToBytesLE(TEST_TARGET)).copy(buffer, at + SHARE.target);
    this.#atMs += STEP_MS;
    const account = `account${(id + this.#starts - 1) % WORKERS}`;
    this.accounts.set(account, (this.accounts.get(account) ?? 0) + 1);
  }
}

/** A sink whose deliveries die as planned, one plan after the other; null goes well. */
class DyingSink implements Sink {
  /** Shares of each delivery that was begun. */
  readonly begun: [number, number][] = [];
  readonly #inner: Sink;
  readonly #plans: (Fault | null)[];
  readonly #die: (fault: Fault, batch: JournalBatch) => Promise<void>;
  #plan: Fault | null = null;

  constructor(
    inner: Sink,
    plans: readonly (Fault | null)[],
    die: (fault: Fault, batch: JournalBatch) => Promise<void>,
  ) {
    this.#inner = inner;
    this.#plans = [...plans];
    this.#die = die;
  }

  get consumer() {
    return this.#inner.consumer;
  }

  open(): Promise<SinkStart> {
    return this.#inner.open();
  }

  joinUpTo(first: JournalBatch): number {
    this.#plan = first.shares === 0 ? null : (this.#plans.shift() ?? null);
    return this.#inner.joinUpTo(first);
  }

  keepCut(batch: JournalBatch): void {
    this.#inner.keepCut(batch);
  }

  async deliver(batch: JournalBatch): Promise<void> {
    const plan = this.#plan;
    this.#plan = null;
    this.begun.push([batch.firstSeq, batch.lastSeq]);
    if (plan !== null && plan.at !== 'the cursor') {
      await this.#die(plan, batch);
      throw new Error(`died at ${plan.at}`);
    }
    await this.#inner.deliver(batch);
    if (plan !== null) {
      await this.#die(plan, batch);
      throw new Error('died at the cursor');
    }
  }

  atEnd(): Promise<void> {
    return this.#inner.atEnd();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  explain(error: unknown): string {
    return String(error);
  }
}

/** Runs a lane until it has delivered everything, however often it dies. */
async function drain(journal: GrowingJournal, sink: Sink): Promise<void> {
  const nowMs = () => performance.now();
  const lane = new Lane({
    ...{ nodeId: NODE_ID, journalFolder: journal.folder, sink, nowMs },
    outages: new OutageLog(sink.consumer, () => {}, nowMs),
    onDelivered: () => {},
  });
  lane.stop(DEADLINE_MS);
  expect(await lane.run()).toBe(true);
}

function newWorld(seed: number, segmentBytes = 6000) {
  const name = `joined${process.pid}_${++runs}`;
  const random = seededRandom(seed);
  const journal = new GrowingJournal(join(folder, name), random, segmentBytes);
  const options = { url: engine.url, ...engine.writer, database: name };
  const clickhouse = openClickHouse(options);
  const cursorPath = join(journal.folder, CLICKHOUSE_CURSOR_FILE);

  const leave = async (batch: JournalBatch, left: Fault['left']): Promise<void> => {
    const { firstSeq, lastSeq, shares, records } = batch;
    if (left === 'a part') {
      const some = Math.ceil(shares / 2);
      const part = { ...batch, shares: some, records: records.subarray(0, some * SHARE_RECORD_BYTES) };
      await insertBatch(clickhouse, part, `${batch.token}-part`);
      return;
    }
    await insertBatch(clickhouse, batch);
    const timeOf = (seq: number) =>
      Number(records.readBigUInt64LE((seq - firstSeq) * SHARE_RECORD_BYTES + SHARE.receivedUs) / 1_000_000n);
    const wait = 'SETTINGS mutations_sync = 2';
    if (left === 'sums without rows') {
      await clickhouse.command(
        `ALTER TABLE submits DELETE WHERE seq BETWEEN ${firstSeq} AND ${lastSeq} ${wait}`,
      );
    } else if (left === 'rows without sums') {
      const [from, to] = [timeOf(firstSeq), timeOf(lastSeq)];
      await clickhouse.command(
        `ALTER TABLE submits_1m DELETE WHERE toUnixTimestamp(t) BETWEEN ${from - 59} AND ${to} ${wait}`,
      );
    }
  };
  const toClickHouse = (plans: readonly (Fault | null)[] = []) =>
    new DyingSink(
      new ClickHouseSink(options, NODE_ID, journal.folder, () => {}),
      plans,
      async (fault, batch) => {
        if (fault.at === 'the insert') await leave(batch, fault.left);
        journal.grow(Math.floor(random() * 4));
        if (fault.cursorLost === true) rmSync(cursorPath, { force: true });
      },
    );
  const expectOnce = async () => {
    const shares = Object.fromEntries([...journal.accounts].sort());
    const byAccount = async (table: string, count: string) => {
      const rows = await clickhouse.rows<{ account: string; n: string }>(
        `SELECT account, ${count} AS n FROM ${table} GROUP BY account ORDER BY account`,
      );
      return Object.fromEntries(rows.map(({ account, n }) => [account, Number(n)]));
    };
    expect(await byAccount('submits', 'count()')).toEqual(shares);
    expect(await byAccount('submits', 'uniqExact(seq)')).toEqual(shares);
    for (const sums of ['submits_1m', 'submits_1h', 'submits_1d']) {
      expect([sums, await byAccount(sums, `sum(${sums}.shares)`)]).toEqual([sums, shares]);
    }
    const differs = await clickhouse.rows<{ differs: number }>('SELECT differs FROM rollup_differences');
    expect(differs).toEqual([{ differs: 0 }]);
    expect(readCursor(cursorPath)).toMatchObject({ nextSeq: journal.lastSeq + 1 });
    expect(readCursor(cursorPath)?.sending).toBeUndefined();
  };
  const end = async () => {
    journal.close();
    await clickhouse.close();
  };
  return { name, random, journal, cursorPath, toClickHouse, expectOnce, end };
}

describe('a ClickHouse that is behind', () => {
  it('gets one batch alone, as nobody knows what came before, then all that waits at once', async () => {
    const world = newWorld(1, 1_000_000);
    world.journal.grow(3);
    const sink = world.toClickHouse();
    await drain(world.journal, sink);
    await world.expectOnce();
    const inserts = sink.begun.filter(([first, last]) => last >= first);
    expect(inserts.length).toBeLessThan(4);
    expect(inserts.at(-1)?.[1]).toBe(world.journal.lastSeq);
    await world.end();
  });

  it.each<[string, Fault]>([
    ['between the cut on the disk and the insert', { at: 'the cut' }],
    ['between the insert and the cursor', { at: 'the insert', left: 'rows' }],
    ['in the middle of the insert', { at: 'the insert', left: 'a part' }],
    ['between the rows and their sums', { at: 'the insert', left: 'rows without sums' }],
    ['between the sums and their rows', { at: 'the insert', left: 'sums without rows' }],
  ])(
    'gets a joined batch with the same cut when the shipper dies %s, also when the journal grew',
    async (_, fault) => {
      const world = newWorld(2, 1_000_000);
      world.journal.grow(2);
      await drain(world.journal, world.toClickHouse());
      world.journal.grow(6);
      const sink = world.toClickHouse([null, fault, fault]);
      await drain(world.journal, sink);
      await world.expectOnce();
      const dying = sink.begun.filter(([first, last], index) => {
        return sink.begun.findIndex(([a, b]) => a === first && b === last) !== index;
      });
      // Begun three times: it died twice.
      expect(dying).toHaveLength(2);
      const [first, last] = dying[0] as [number, number];
      expect(last - first).toBeGreaterThan(12);
      await world.end();
    },
  );

  it.each(LEFT_BEHIND)(
    'has every share once when the shipper leaves %s of a joined batch, and its cursor file is lost',
    async (left) => {
      const world = newWorld(3, 1_000_000);
      world.journal.grow(2);
      await drain(world.journal, world.toClickHouse());
      world.journal.grow(8);
      await drain(world.journal, world.toClickHouse([null, { at: 'the insert', left, cursorLost: true }]));
      await world.expectOnce();
      world.journal.grow(2);
      await drain(world.journal, world.toClickHouse());
      await world.expectOnce();
      await world.end();
    },
  );

  it.each(Array.from({ length: 8 }, (_, seed) => seed + 11))(
    'has every share once after random deaths, seed %i',
    async (seed) => {
      const world = newWorld(seed);
      const { random, journal } = world;
      const any = (): Fault | null => {
        if (random() < 0.4) return null;
        const at = (['the cut', 'the insert', 'the cursor'] as const)[
          Math.floor(random() * 3)
        ] as Fault['at'];
        const left = LEFT_BEHIND[Math.floor(random() * LEFT_BEHIND.length)] as Fault['left'] & string;
        return { at, left, cursorLost: random() < 0.15 };
      };
      for (let step = 0; step < 3; step++) {
        journal.grow(1 + Math.floor(random() * 12));
        await drain(journal, world.toClickHouse(Array.from({ length: 5 }, any)));
        await world.expectOnce();
      }
      await world.end();
    },
  );
});

describe('a ledger that is behind', () => {
  it.each([31, 32, 33])('has every share once after random deaths, seed %i', async (seed) => {
    const { name, random, journal, end } = newWorld(seed);
    await admin.unsafe(`create database ${name}`);
    const url = new URL(postgres.url);
    url.pathname = `/${name}`;
    const policy = { defaultScheme: 'pplns' as const, isAddress: () => false };
    const database = openPostgres({ url: url.href, poolSize: 1, timeoutS: 10 });
    for (let step = 0; step < 4; step++) {
      journal.grow(1 + Math.floor(random() * 12));
      const plans = Array.from({ length: 4 }, (): Fault | null =>
        random() < 0.3 ? null : { at: random() < 0.5 ? 'the cut' : 'the cursor' },
      );
      const inner = new PostgresSink({ url: url.href, timeoutS: 10 }, NODE_ID, policy);
      const sink = new DyingSink(inner, plans, async () => journal.grow(Math.floor(random() * 4)));
      await drain(journal, sink);
      const booked = await database<{ account: string; shares: bigint }[]>`
        select a.name as account, sum(s.shares)::bigint as shares
        from work_slices s join accounts a on a.id = s.account_id group by a.name`;
      expect(new Map(booked.map(({ account, shares }) => [account, Number(shares)]))).toEqual(
        journal.accounts,
      );
    }
    await database.end({ timeout: 1 });
    await end();
  });
});
