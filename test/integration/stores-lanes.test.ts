// Several journals, one ledger: windows are exact over all lanes, and no block is credited before every lane has
// delivered what it must contain. Real journals, real Postgres.
import { cpSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { windowWork } from '../../engine/accounting/pplns-window.js';
import { startPostgres } from '../../storage/embedded/postgres.js';
import { laneFolder } from '../../storage/journal/lanes.js';
import type { CreditTerms } from '../../storage/postgres/block-store.js';
import { BlockStore } from '../../storage/postgres/block-store.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { activateLanes, closeLane, formerLane } from '../../storage/postgres/ledger-lanes.js';
import { LedgerStore } from '../../storage/postgres/ledger-store.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import { PoolFigures } from '../../storage/postgres/pool-figures.js';
import { WorkStore } from '../../storage/postgres/work-store.js';
import { projectRoot } from '../../storage/project-root.js';
import {
  TEST_NETWORK_TARGET as TARGET,
  TEST_WORK,
  testBatch,
  testHash,
  testRounds,
} from '../fixtures/journal-batch.js';
import { MINERS, PoolOfLanes, type TakenShare } from '../fixtures/pool-of-lanes.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-lanes-'));
const BLOCK_WORK = windowWork(TARGET, 1000);
const TERMS: CreditTerms = {
  subsidySats: 5_000_000_000n,
  feesSats: 77n,
  feePpm: () => 0,
  windowPermille: 2000,
  defaultScheme: 'pplns',
};
let server: Awaited<ReturnType<typeof startPostgres>>;
let admin: Database;
let database: Database;
let pool: PoolOfLanes;
let runs = 0;

async function newDatabase(template: string): Promise<Database> {
  const name = `lanes${++runs}`;
  await admin.unsafe(`create database ${name} template ${template}`);
  return openPostgres({ url: urlOf(name), poolSize: 4, timeoutS: 10 });
}

function urlOf(name: string): string {
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  return url.href;
}

beforeAll(async () => {
  server = await startPostgres({ dataDir: join(folder, 'postgres'), log: () => {} });
  admin = openPostgres({ url: server.url, poolSize: 1, timeoutS: 10 });
  await admin.unsafe('create database migrated');
  const migrated = openPostgres({ url: urlOf('migrated'), poolSize: 1, timeoutS: 10 });
  await migratePostgres(migrated);
  await migrated.end();
});

afterAll(async () => {
  await admin?.end({ timeout: 1 });
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function freshPool(): Promise<void> {
  database = await newDatabase('migrated');
  pool = new PoolOfLanes(join(folder, `data${runs}`), database);
}

async function endPool(): Promise<void> {
  pool.crash();
  const { sumSats, mismatches } = await new LedgerStore(database).totals();
  await database.end({ timeout: 1 });
  expect({ sumSats, mismatches }).toEqual({ sumSats: 0n, mismatches: 0 });
}

/** Part of each account in the window of a credited block, as the ledger wrote it down: weight of totalWeight. */
async function creditedWindow(hash: string) {
  const rows = await database<
    { parts: { account: number; weight: string }[]; total: string; work: string; roundWork: bigint }[]
  >`
    select t.inputs->'parts' as parts, t.inputs->>'totalWeight' as total,
           t.inputs->>'workInWindow' as work, b.round_work as "roundWork"
    from ledger_transactions t join blocks b on b.hash = t.block_hash
    where t.block_hash = ${hash} and t.kind = 'block_credit'`;
  expect(rows).toHaveLength(1);
  const row = rows[0] as (typeof rows)[number];
  const accounts = await database<{ id: number; name: string }[]>`select id, name from accounts`;
  const nameOf = new Map(accounts.map(({ id, name }) => [id, name]));
  return {
    weights: new Map(row.parts.map(({ account, weight }) => [nameOf.get(account), BigInt(weight)])),
    total: BigInt(row.total),
    work: BigInt(row.work),
    roundWork: row.roundWork,
  };
}

/**
 * The window of `block` from the plain list of all shares of all lanes, by its own arithmetic: newest round and
 * minute first, the one on the far edge by the part of it that has room. Hashes as fractions of `of`.
 */
function plainWindow(shares: readonly TakenShare[], block: TakenShare) {
  const before = shares.filter(({ round, work }) => round <= block.round && work > 0n);
  before.sort((a, b) => b.minute - a.minute || b.round - a.round);
  const window = windowWork(TARGET, TERMS.windowPermille);
  const hashes = new Map<string, bigint>();
  let of = 1n;
  let work = 0n;
  for (let from = 0; from < before.length && work < window; ) {
    const { minute, round } = before[from] as TakenShare;
    let to = from;
    while (before[to]?.minute === minute && before[to]?.round === round) to++;
    const group = before.slice(from, to);
    const groupWork = group.reduce((sum, share) => sum + share.work, 0n);
    const crosses = window - work < groupWork;
    const room = crosses ? window - work : groupWork;
    if (crosses) {
      for (const [who, sum] of hashes) hashes.set(who, sum * groupWork);
      of = groupWork;
    }
    for (const share of group) {
      const part = crosses ? share.work * room : share.work;
      hashes.set(share.who, (hashes.get(share.who) ?? 0n) + part);
    }
    work += room;
    from = to;
  }
  return { hashes, of, work };
}

async function expectPlainWindow(block: TakenShare): Promise<void> {
  const credited = await creditedWindow(block.hash ?? '');
  const { hashes, of, work } = plainWindow(pool.taken, block);
  expect(credited.work).toBe(work);
  expect([...credited.weights.keys()].sort()).toEqual([...hashes.keys()].sort());
  for (const [who, weight] of credited.weights) {
    // weight / total = hashes / (of x work)
    expect(weight * of * work).toBe((hashes.get(who ?? '') ?? 0n) * credited.total);
  }
  const closedBefore = pool.taken
    .filter(({ hash, round }) => hash !== null && round < block.round)
    .reduce((most, { round }) => Math.max(most, round), -1);
  const roundWork = pool.taken
    .filter(({ round }) => round > closedBefore && round <= block.round)
    .reduce((sum, share) => sum + share.work, 0n);
  expect(credited.roundWork).toBe(roundWork);
}

describe('a block of one lane', () => {
  beforeEach(freshPool);
  afterEach(endPool);

  it('is paid by the work of all lanes up to it, and by no share after it', async () => {
    await pool.start(3);
    pool.share(1, 'alice', TARGET);
    pool.share(2, 'bob', TARGET);
    const block = pool.share(3, 'carol', TARGET, { block: true });
    pool.share(1, 'alice', TARGET);
    for (const nodeId of [1, 2, 3]) pool.seal(nodeId);
    await pool.shipAll();
    expect(await pool.credit(block, TERMS)).toBe('credited');
    const third = (TERMS.subsidySats + TERMS.feesSats) / 3n;
    const ledger = new LedgerStore(database);
    for (const who of MINERS) expect((await ledger.balance(who))?.immatureSats).toBe(third);
    await expectPlainWindow(block);
    expect((await pool.blocks.latestBlocks(1))[0]?.effort).toBeCloseTo(3, 6);
    expect(await new PoolFigures(database).round()).toMatchObject({ work: BLOCK_WORK });
    expect(await new PoolFigures(database).acceptedByNode()).toEqual(
      new Map([
        [1, 2],
        [2, 1],
        [3, 1],
      ]),
    );
  });

  it('waits for shares that another lane took before it and delivers later', async () => {
    await pool.start(2);
    pool.share(2, 'bob', TARGET);
    const block = pool.share(1, 'alice', TARGET, { block: true });
    pool.seal(1);
    await pool.shipAll();
    expect(await pool.credit(block, TERMS)).toBe('not_yet');
    // Now in the journal, but not in the ledger.
    pool.seal(2);
    expect(await pool.credit(block, TERMS)).toBe('not_yet');
    await pool.ship(2);
    expect(await pool.credit(block, TERMS)).toBe('credited');
    await expectPlainWindow(block);
  });

  it('is not let through by a batch that another lane closed before it', async () => {
    await pool.start(2);
    pool.share(2, 'bob', TARGET);
    pool.seal(2);
    pool.share(2, 'bob', TARGET);
    pool.commit(2);
    const block = pool.share(1, 'alice', TARGET, { block: true });
    pool.seal(1);
    await pool.shipAll();
    expect(await pool.credit(block, TERMS)).toBe('not_yet');
    pool.nowMs += 2000;
    pool.tick(2);
    await pool.shipAll();
    expect(await pool.credit(block, TERMS)).toBe('credited');
    await expectPlainWindow(block);
  });

  it('is credited although another lane never has a share, once that lane said so', async () => {
    await pool.start(2);
    const block = pool.share(1, 'alice', TARGET, { block: true });
    pool.seal(1);
    await pool.shipAll();
    expect(await pool.credit(block, TERMS)).toBe('not_yet');
    pool.tick(2);
    await pool.shipAll();
    expect(await pool.credit(block, TERMS)).toBe('credited');
    expect(await pool.credit(block, TERMS)).toBe('already');
  });

  it('waits for a lane that is down, over a restart, and then has its shares', async () => {
    await pool.start(2);
    pool.share(2, 'bob', TARGET);
    pool.commit(2);
    const block = pool.share(1, 'alice', TARGET, { block: true });
    pool.seal(1);
    await pool.shipAll();
    pool.nowMs += 3_600_000;
    pool.tick(1);
    await pool.shipAll();
    expect(await pool.credit(block, TERMS)).toBe('not_yet');
    pool.crash(true);
    expect(await pool.credit(block, TERMS)).toBe('not_yet');
    await pool.start(2);
    expect(await pool.credit(block, TERMS)).toBe('not_yet');
    pool.share(2, 'bob', TARGET);
    pool.tick(2);
    pool.seal(2);
    await pool.shipAll();
    expect(await pool.credit(block, TERMS)).toBe('credited');
    await expectPlainWindow(block);
  });

  it('waits for a lane that got no thread again, until its journal is booked to its end', async () => {
    await pool.start(2);
    pool.share(2, 'bob', TARGET);
    pool.commit(2);
    const first = pool.share(1, 'alice', TARGET, { block: true });
    pool.seal(1);
    await pool.shipAll();
    pool.crash();
    await pool.start(1);
    await pool.ship(1);
    expect(await pool.credit(first, TERMS)).toBe('not_yet');
    await pool.ship(2);
    expect(await pool.credit(first, TERMS)).toBe('credited');
    await expectPlainWindow(first);
    // Nobody writes lane 2: it must not hold up what comes.
    const second = pool.share(1, 'carol', TARGET, { block: true });
    pool.seal(1);
    await pool.ship(1);
    expect(await pool.credit(second, TERMS)).toBe('credited');
    // Its thread is back: blocks wait for it again, and it takes part in rounds from where the pool is.
    pool.stop();
    await pool.start(2);
    const mine = pool.share(2, 'bob', TARGET);
    const third = pool.share(1, 'alice', TARGET, { block: true });
    expect(mine.round).toBe(2);
    pool.seal(1);
    await pool.ship(1);
    expect(await pool.credit(third, TERMS)).toBe('not_yet');
    pool.seal(2);
    await pool.ship(2);
    expect(await pool.credit(third, TERMS)).toBe('credited');
    await expectPlainWindow(third);
  });

  it('found by a former lane is credited too', async () => {
    await pool.start(2);
    const block = pool.share(2, 'bob', TARGET, { block: true });
    pool.commit(2);
    pool.crash();
    await pool.start(1);
    await pool.shipAll();
    expect(await pool.credit(block, TERMS)).toBe('not_yet');
    pool.tick(1);
    await pool.shipAll();
    expect(await pool.credit(block, TERMS)).toBe('credited');
  });

  it('closes a round of its own after a restart in which the lane that knew the last ones is gone', async () => {
    await pool.start(2);
    const found = [1, 2, 3].map(() => pool.share(2, 'bob', TARGET, { block: true }));
    pool.seal(2);
    await pool.ship(2);
    pool.crash();
    const gone = laneFolder(join(folder, `data${runs}`), 2);
    renameSync(gone, `${gone}.lost`);
    await pool.start(1);
    // What the ledger waits for is named, and waited for.
    expect(pool.missing).toEqual([2]);
    const block = pool.share(1, 'alice', TARGET, { block: true });
    expect(block.round).toBe(3);
    pool.seal(1);
    await pool.ship(1);
    expect(await pool.credit(found[0] as TakenShare, TERMS)).toBe('credited');
    expect(await pool.credit(block, TERMS)).toBe('not_yet');
    pool.stop();
    renameSync(`${gone}.lost`, gone);
    await pool.start(1);
    expect(pool.missing).toEqual([]);
    await pool.shipAll();
    expect(await pool.credit(block, TERMS)).toBe('credited');
    await expectPlainWindow(block);
  });

  it('has the work of the round before it, when the block of that round died with its thread', async () => {
    await pool.start(2);
    pool.share(2, 'bob', TARGET);
    const lost = pool.share(1, 'alice', TARGET, { block: true });
    const after = pool.share(2, 'bob', TARGET);
    expect([lost.round, after.round]).toEqual([0, 1]);
    pool.commit(2);
    pool.crash();
    await pool.start(2);
    const block = pool.share(1, 'alice', TARGET, { block: true });
    expect(block.round).toBe(1);
    for (const nodeId of [1, 2]) pool.seal(nodeId);
    await pool.shipAll();
    expect(await new PoolFigures(database).round()).toMatchObject({ work: 0n });
    expect(await pool.credit(block, TERMS)).toBe('credited');
    await expectPlainWindow(block);
    expect((await creditedWindow(block.hash ?? '')).roundWork).toBe(BLOCK_WORK * 3n);
  });

  it('waits in a ledger that was never told of lanes', async () => {
    const work = new WorkStore(database, { defaultScheme: 'pplns', isAddress: () => false });
    await work.applyBatch(testBatch(1, [{ who: 'alice', block: true }], 5));
    const blocks = new BlockStore(database);
    expect(await blocks.creditBlock(testHash(5, 1), TERMS)).toBe('not_yet');
    await activateLanes(database, { running: [5], former: [] });
    expect(await blocks.creditBlock(testHash(5, 1), TERMS)).toBe('credited');
  });

  it('still waits for a lane that an order from before its return would close', async () => {
    await activateLanes(database, { running: [1], former: [2] });
    const old = await formerLane(database, 2);
    await activateLanes(database, { running: [1, 2], former: [] });
    await closeLane(database, 2, old ?? 0n);
    await activateLanes(database, { running: [1], former: [2] });
    await closeLane(database, 2, old ?? 0n);
    const { missing } = await activateLanes(database, { running: [1], former: [] });
    expect(missing).toEqual([2]);
  });
});

describe('a batch without shares', () => {
  beforeEach(freshPool);
  afterEach(endPool);

  it('moves the cursor and the rounds on, once, and never back', async () => {
    const { work } = pool;
    const row = () => database`select next_seq, "offset", round from shipper_cursor`;
    expect(await work.applyBatch(testRounds(1, 2))).toBe('applied');
    expect(await work.applyBatch(testRounds(1, 5))).toBe('applied');
    const there = await row();
    expect(there).toMatchObject([{ next_seq: 1n, round: 5n }]);
    expect(await work.applyBatch(testRounds(1, 5))).toBe('already');
    expect(await work.applyBatch(testRounds(1, 2))).toBe('already');
    expect(await row()).toEqual(there);
    expect(await work.applyBatch(testBatch(1, [{ who: 'alice', round: 5 }]))).toBe('applied');
    expect(await work.applyBatch(testRounds(1, 6))).toBe('already');
    await expect(work.applyBatch(testRounds(3, 6))).rejects.toThrow(/do not belong together/);
    expect(await row()).toMatchObject([{ next_seq: 2n, round: 5n }]);
  });
});

describe('a database of a pool with one journal', () => {
  it('keeps its work, rounds and open blocks, and takes a second lane', async () => {
    const old = mkdtempSync(join(folder, 'migrations-'));
    const current = join(projectRoot(), 'storage', 'postgres', 'migrations');
    for (const file of readdirSync(current).filter((name) => name < '005')) {
      cpSync(join(current, file), join(old, file));
    }
    database = await newDatabase('template0');
    await migratePostgres(database, old);
    await database`insert into accounts (name, is_address) values ('alice', false), ('bob', false)`;
    await database`insert into workers (account_id, name) values (1, ''), (2, '')`;
    await database`
      insert into shipper_cursor (node_id, consumer, next_seq, segment, "offset")
      values (1, 'ledger', 4, 1, ${testBatch(3, [{ who: 'bob' }]).next.offset - 1})`;
    await database`
      insert into work_slices (node_id, bucket_start, round, account_id, worker_id, scheme, shares, work, first_seq, last_seq)
      values (1, '2026-11-21 02:58Z', 0, 1, 1, 'pplns', 1, ${TEST_WORK.toString()}::numeric, 1, 1),
             (1, '2026-11-21 02:58Z', 1, 2, 2, 'pplns', 2, ${(TEST_WORK * 2n).toString()}::numeric, 2, 3)`;
    const block = (seq: number, round: number) => database`
      insert into blocks (hash, height, node_id, seq, round, finder_account_id, finder_worker_id, found_at,
                          network_target, network_difficulty)
      values (${testHash(1, seq)}, 100, 1, ${seq}, ${round}, 1, 1, now(), ${TARGET.toString()}::numeric, 1)`;
    await block(1, 0);
    await block(3, 1);
    expect((await migratePostgres(database))[0]).toBe(5);
    expect((await activateLanes(database, { running: [1, 2], former: [] })).round).toBe(2);

    const work = new WorkStore(database, { defaultScheme: 'pplns', isAddress: () => false });
    const blocks = new BlockStore(database);
    expect(await blocks.creditBlock(testHash(1, 3), TERMS)).toBe('not_yet');
    await work.applyBatch(testRounds(1, 2, 2));
    expect(await blocks.creditBlock(testHash(1, 3), TERMS)).toBe('credited');
    expect(await blocks.creditBlock(testHash(1, 1), TERMS)).toBe('credited');
    expect(await creditedWindow(testHash(1, 1))).toMatchObject({ work: TEST_WORK, roundWork: TEST_WORK });
    expect(await creditedWindow(testHash(1, 3))).toMatchObject({
      weights: new Map([
        ['alice', TEST_WORK],
        ['bob', TEST_WORK * 2n],
      ]),
      roundWork: TEST_WORK * 2n,
    });
    await work.applyBatch(testBatch(1, [{ who: 'bob', round: 2, block: true }], 2));
    expect(await blocks.creditBlock(testHash(2, 1), TERMS)).toBe('not_yet');
    await work.applyBatch({ ...testBatch(4, [{ who: 'alice', round: 2 }], 1), round: 3 });
    expect(await blocks.creditBlock(testHash(2, 1), TERMS)).toBe('credited');
    expect(await creditedWindow(testHash(2, 1))).toMatchObject({
      work: TEST_WORK * 5n,
      roundWork: TEST_WORK * 2n,
    });
    await database.end({ timeout: 1 });
  });
});

describe('lanes that book at the same time', () => {
  beforeEach(freshPool);
  afterEach(endPool);

  it('make the same new accounts and workers in whatever order, without a deadlock or a lost share', async () => {
    const lanes = 4;
    const names = Array.from({ length: 3000 }, (_, i) => `miner${i}.rig${i % 7}`);
    const stores = Array.from({ length: lanes }, () => {
      const own = openPostgres({ url: urlOf(`lanes${runs}`), poolSize: 1, timeoutS: 10 });
      return { own, work: new WorkStore(own, { defaultScheme: 'pplns', isAddress: () => false }) };
    });
    const rounds = 3;
    for (let round = 0; round < rounds; round++) {
      await Promise.all(
        stores.map(async ({ work }, lane) => {
          const mine = names.map((name) => `r${round}${name}`);
          if (lane % 2 === 1) mine.reverse();
          const shares = mine.map((who) => ({ who, round }));
          await work.applyBatch(testBatch(1 + round * names.length, shares, lane));
        }),
      );
    }
    const [sums] = await database`
      select sum(shares)::integer as shares, count(distinct worker_id)::integer as workers from work_slices`;
    expect(sums).toEqual({ shares: lanes * rounds * names.length, workers: rounds * names.length });
    await Promise.all(stores.map(({ own }) => own.end({ timeout: 1 })));
  });
});

describe('any interleaving of lanes, blocks, refusing disks, deliveries, crashes and restarts', () => {
  const lane = fc.nat({ max: 2 });
  const submit = {
    lane,
    who: fc.constantFrom(...MINERS),
    target: fc.constantFrom(TARGET, TARGET * 2n, TARGET * 5n, TARGET / 3n),
    stale: fc.boolean(),
    written: fc.constantFrom('no' as const, 'commit' as const, 'seal' as const),
  };
  const step = fc.oneof(
    { weight: 12, arbitrary: fc.record({ do: fc.constant('share' as const), ...submit }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('block' as const), ...submit }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('refuse' as const), lane }) },
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant('tick' as const), lane, ms: fc.nat({ max: 30_000 }) }),
    },
    {
      weight: 8,
      arbitrary: fc.record({ do: fc.constant('ship' as const), lane, count: fc.nat({ max: 4 }) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('restart' as const),
        how: fc.constantFrom('stop' as const, 'crash' as const, 'torn' as const),
        running: fc.integer({ min: 1, max: 3 }),
      }),
    },
  );

  it('pays each block once, from the window of the plain list of all shares, never before it is whole', async () => {
    const seen = { credited: 0, waited: 0, edges: 0, former: 0, refusedBlocks: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.array(step, { minLength: 30, maxLength: 120 }),
        async (running, steps) => {
          await freshPool();
          await pool.start(running);
          const credited = new Map<string, number>();
          const credit = async () => {
            for (const { hash } of await pool.blocks.openBlocks(0)) {
              const result = await pool.blocks.creditBlock(hash, TERMS);
              if (result === 'credited') credited.set(hash, (credited.get(hash) ?? 0) + 1);
              if (result === 'not_yet') seen.waited++;
            }
          };
          for (const each of steps) {
            const of = (index: number, nodes: number[]) => nodes[index % nodes.length] as number;
            if (each.do === 'share' || each.do === 'block') {
              const options = { block: each.do === 'block', stale: each.stale };
              pool.share(of(each.lane, pool.running), each.who, each.target, options);
              if (each.written === 'commit') pool.commit(of(each.lane, pool.running));
              if (each.written === 'seal') pool.seal(of(each.lane, pool.running));
            } else if (each.do === 'refuse') pool.refuse(of(each.lane, pool.running));
            else if (each.do === 'tick') {
              pool.nowMs += each.ms;
              pool.tick(of(each.lane, pool.running));
            } else if (each.do === 'ship') {
              await pool.ship(of(each.lane, pool.nodeIds), each.count);
              await credit();
            } else {
              if (each.how === 'stop') pool.stop();
              else pool.crash(each.how === 'torn');
              await pool.start(each.running);
              if (pool.nodeIds.length > each.running) seen.former++;
            }
          }
          for (const nodeId of pool.running) pool.seal(nodeId);
          for (const nodeId of pool.running) pool.tick(nodeId);
          await pool.shipAll();
          await credit();

          const found = pool.taken.filter(({ hash }) => hash !== null);
          expect(new Set(found.map(({ round }) => round)).size).toBe(found.length);
          expect(credited).toEqual(new Map(found.map(({ hash }) => [hash, 1])));
          for (const block of found) {
            for (const { order, round } of pool.taken) {
              expect(round <= block.round).toBe(order <= block.order);
            }
            await expectPlainWindow(block);
            if (plainWindow(pool.taken, block).of > 1n) seen.edges++;
            if (block.work === 0n) seen.refusedBlocks++;
          }
          seen.credited += found.length;
          await endPool();
        },
      ),
      { seed: 20261121, numRuns: 40, endOnFailure: true },
    );
    // The steps did what they are there for.
    for (const [what, times] of Object.entries(seen)) expect(times, what).toBeGreaterThan(10);
  }, 120_000);
});
