// The ledger's Postgres as it ships: real server, real migrations, real stores.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startPostgres } from '../../storage/embedded/postgres.js';
import { BlockStore, type CreditTerms } from '../../storage/postgres/block-store.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { activateLanes } from '../../storage/postgres/ledger-lanes.js';
import { LedgerStore } from '../../storage/postgres/ledger-store.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import { PayoutStore } from '../../storage/postgres/payout-store.js';
import { JournalGapError, WorkStore } from '../../storage/postgres/work-store.js';
import { projectRoot } from '../../storage/project-root.js';
import {
  TEST_NETWORK_TARGET,
  TEST_TARGET,
  TEST_TIME_MS,
  TEST_WORK,
  type TestShare,
  testBatch,
  testHash,
} from '../fixtures/journal-batch.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-stores-'));
let server: Awaited<ReturnType<typeof startPostgres>>;
let admin: Database;
let database: Database;
let work: WorkStore;
let blocks: BlockStore;
let ledger: LedgerStore;
let payouts: PayoutStore;
let databases = 0;

const TERMS: CreditTerms = {
  subsidySats: 5_000_000_000n,
  feesSats: 1_234n,
  feePpm: () => 10_000,
  windowPermille: 2000,
  defaultScheme: 'pplns',
};
const COINBASE = TERMS.subsidySats + TERMS.feesSats;
/** What the fee leaves, rounded down; the rest of a satoshi is the remainder's. */
const NET = (COINBASE * 99n) / 100n;

async function newDatabase(): Promise<string> {
  const name = `t${++databases}`;
  await admin.unsafe(`create database ${name}`);
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  return url.href;
}

beforeAll(async () => {
  server = await startPostgres({ dataDir: join(folder, 'postgres'), log: () => {} });
  admin = openPostgres({ url: server.url, poolSize: 1, timeoutS: 10 });
});

afterAll(async () => {
  await admin?.end({ timeout: 1 });
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  database = openPostgres({ url: await newDatabase(), poolSize: 4, timeoutS: 10 });
  await migratePostgres(database);
  await activateLanes(database, { running: [0], former: [] });
  work = new WorkStore(database, { defaultScheme: 'pplns', isAddress: (name) => name.startsWith('tb1') });
  blocks = new BlockStore(database);
  ledger = new LedgerStore(database);
  payouts = new PayoutStore(database);
  return async () => {
    // Whatever a test did: the books balance and the balances are the sum of their lines.
    const totals = await new LedgerStore(database).totals();
    expect(totals.sumSats).toBe(0n);
    expect(totals.mismatches).toBe(0);
    await database.end({ timeout: 1 });
  };
});

/** Books shares whose last one is a block candidate, and returns its hash. */
async function mineBlock(firstSeq: number, shares: readonly TestShare[]): Promise<string> {
  const last = firstSeq + shares.length - 1;
  await work.applyBatch(
    testBatch(firstSeq, shares.with(-1, { ...(shares.at(-1) as TestShare), block: true })),
  );
  return testHash(0, last);
}

async function matured(firstSeq: number, shares: readonly TestShare[]): Promise<string> {
  const hash = await mineBlock(firstSeq, shares);
  expect(await blocks.creditBlock(hash, TERMS)).toBe('credited');
  expect(await blocks.matureBlock(hash, 101)).toBe('matured');
  return hash;
}

describe('migrations', () => {
  it('run once, also when two processes start together', async () => {
    const url = await newDatabase();
    const both = [1, 2].map(() => openPostgres({ url, poolSize: 1, timeoutS: 10 }));
    const ran = await Promise.all(both.map((one) => migratePostgres(one)));
    const folder = join(projectRoot(), 'storage', 'postgres', 'migrations');
    const versions = readdirSync(folder).map((name) => Number(name.slice(0, 3)));
    expect(ran.flat().toSorted()).toEqual(versions.toSorted());
    await Promise.all(both.map((one) => one.end()));
  });

  it('refuse a file that was changed after it was applied', async () => {
    const changed = mkdtempSync(join(folder, 'migrations-'));
    writeFileSync(join(changed, '001_first.sql'), 'create table first (id integer)');
    const fresh = openPostgres({ url: await newDatabase(), poolSize: 1, timeoutS: 10 });
    await migratePostgres(fresh, changed);
    writeFileSync(join(changed, '001_first.sql'), 'create table first (id bigint)');
    await expect(migratePostgres(fresh, changed)).rejects.toThrow(/migration 1 .* was changed since/);
    await fresh.end();
  });

  it('undo a file that fails half way and say which', async () => {
    const broken = mkdtempSync(join(folder, 'migrations-'));
    writeFileSync(join(broken, '001_broken.sql'), 'create table half (id integer); select nonsense;');
    const fresh = openPostgres({ url: await newDatabase(), poolSize: 1, timeoutS: 10 });
    await expect(migratePostgres(fresh, broken)).rejects.toThrow(
      /migration 1 \(broken\) failed and was undone/,
    );
    expect(await fresh`select to_regclass('half') as half`).toEqual([{ half: null }]);
    await fresh.end();
  });

  it('refuse a database that a newer Millrace used', async () => {
    await database`insert into schema_migrations (version, name, checksum) values (99, 'future', '')`;
    await expect(migratePostgres(database)).rejects.toThrow(/newer Millrace/);
  });
});

describe('booking work', () => {
  it('counts accepted work exactly, refused shares by verdict, and both by minute', async () => {
    await work.applyBatch(
      testBatch(1, [
        { who: 'tb1alice.a' },
        { who: 'tb1alice.a', target: TEST_TARGET / 3n },
        { who: 'tb1alice.a', verdict: 'stale' },
        { who: 'bob', verdict: 'duplicate' },
        { who: 'bob', atMs: TEST_TIME_MS + 60_000 },
      ]),
    );
    const rareWork = (1n << 256n) / (TEST_TARGET / 3n + 1n);
    expect(await work.totals()).toEqual([
      { verdict: 1, shares: 3n, work: TEST_WORK * 2n + rareWork },
      { verdict: 2, shares: 1n, work: 0n },
      { verdict: 4, shares: 1n, work: 0n },
    ]);
    expect(await work.workerWork(new Date(TEST_TIME_MS), 10)).toEqual([
      { account: 'tb1alice', worker: 'a', shares: 2n, work: TEST_WORK + rareWork },
      { account: 'bob', worker: '', shares: 1n, work: TEST_WORK },
    ]);
    expect(await work.poolWork(new Date(TEST_TIME_MS + 60_000))).toEqual({ shares: 1n, work: TEST_WORK });
    expect(await database`select name, is_address from accounts order by name`).toEqual([
      { name: 'bob', is_address: false },
      { name: 'tb1alice', is_address: true },
    ]);
  });

  it('books a batch once, however often and from however many shippers it comes', async () => {
    const batch = testBatch(1, [{ who: 'tb1alice' }, { who: 'bob', verdict: 'stale' }]);
    const other = new WorkStore(database, { defaultScheme: 'pplns', isAddress: () => true });
    const outcomes = await Promise.all([
      work.applyBatch(batch),
      other.applyBatch(batch),
      work.applyBatch(batch),
    ]);
    expect(outcomes.filter((outcome) => outcome === 'applied')).toHaveLength(1);
    expect((await work.totals())[0]).toEqual({ verdict: 1, shares: 1n, work: TEST_WORK });
    expect(await work.cursor(0)).toEqual({ nextSeq: 3, position: batch.next });
  });

  it('books nothing of a batch when the transaction fails, then all of it', async () => {
    const batch = testBatch(1, [{ who: 'tb1alice' }]);
    await database`alter table share_totals add constraint sabotage check (shares < 1)`;
    await expect(work.applyBatch(batch)).rejects.toThrow(/sabotage/);
    expect(await work.cursor(0)).toBeNull();
    expect(await work.poolWork(new Date(0))).toEqual({ shares: 0n, work: 0n });
    await database`alter table share_totals drop constraint sabotage`;
    expect(await work.applyBatch(batch)).toBe('applied');
    expect((await work.poolWork(new Date(0))).shares).toBe(1n);
  });

  it('refuses to go on when shares between cursor and batch are missing', async () => {
    await work.applyBatch(testBatch(1, [{ who: 'a' }]));
    await expect(work.applyBatch(testBatch(3, [{ who: 'a' }]))).rejects.toThrow(JournalGapError);
    await expect(work.applyBatch(testBatch(1, [{ who: 'a' }, { who: 'a' }]))).rejects.toThrow(
      JournalGapError,
    );
  });

  it('keeps nodes apart', async () => {
    await work.applyBatch(testBatch(1, [{ who: 'a' }], 0));
    await work.applyBatch(testBatch(1, [{ who: 'a' }], 1));
    expect((await work.totals())[0]?.shares).toBe(2n);
    expect((await work.cursor(1))?.nextSeq).toBe(2);
  });

  it('stores names that Postgres cannot hold as they are', async () => {
    await work.applyBatch(testBatch(1, [{ who: 'nul\0.\ud800' }, { who: "o'; drop table accounts; --" }]));
    expect(await database`select name from accounts order by id`).toHaveLength(2);
  });

  it('refuses an accepted share that names nobody', async () => {
    const batch = testBatch(1, [{ who: 'a' }]);
    await expect(work.applyBatch({ ...batch, identities: new Map() })).rejects.toThrow(/names no identity/);
  });

  it('agrees with a plain sum for random batches, cut anywhere', async () => {
    let seq = 1;
    const expected = new Map<string, bigint>();
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            who: fc.constantFrom('a.1', 'a.2', 'b', 'c.x'),
            verdict: fc.constantFrom('accepted' as const, 'accepted' as const, 'stale' as const),
            target: fc.constantFrom(TEST_TARGET, TEST_TARGET / 7n, (1n << 256n) - 1n),
            atMs: fc.integer({ min: 0, max: 300_000 }).map((ms) => TEST_TIME_MS + ms),
            round: fc.integer({ min: 0, max: 2 }),
          }),
          { minLength: 1, maxLength: 60 },
        ),
        async (shares) => {
          await work.applyBatch(testBatch(seq, shares));
          seq += shares.length;
          for (const { who, verdict, target } of shares) {
            if (verdict !== 'accepted') continue;
            expected.set(who, (expected.get(who) ?? 0n) + (1n << 256n) / (target + 1n));
          }
        },
      ),
      { seed: 7, numRuns: 25 },
    );
    const rows = await work.workerWork(new Date(TEST_TIME_MS), 10);
    const got = new Map(rows.map((r) => [r.worker === '' ? r.account : `${r.account}.${r.worker}`, r.work]));
    expect(got).toEqual(expected);
  });
});

describe('blocks', () => {
  it('become known from the journal, with their finder', async () => {
    const hash = await mineBlock(1, [{ who: 'tb1alice.rig' }, { who: 'bob' }]);
    expect(await blocks.openBlocks(0)).toMatchObject([
      {
        hash,
        status: 'candidate',
        account: 'bob',
        worker: '',
        height: 101,
        seq: 2,
        round: 0,
        coinbaseSats: null,
      },
    ]);
  });

  it('wait for their credit until all work before them is booked', async () => {
    const hash = await mineBlock(1, [{ who: 'tb1alice' }]);
    await database`update shipper_cursor set next_seq = 1`;
    expect(await blocks.creditBlock(hash, TERMS)).toBe('not_yet');
    await database`update shipper_cursor set next_seq = 2`;
    expect(await blocks.creditBlock(hash, TERMS)).toBe('credited');
    expect(await blocks.creditBlock('00'.repeat(32), TERMS)).toBe('unknown');
  });

  it('are credited once by work up to the block and no share after it', async () => {
    const first = { who: 'tb1alice', target: TEST_NETWORK_TARGET };
    const hash = await mineBlock(1, [first, { who: 'bob', target: TEST_NETWORK_TARGET }]);
    await work.applyBatch(testBatch(3, [{ who: 'late', target: TEST_NETWORK_TARGET, round: 1 }]));
    const results = await Promise.all([1, 2, 3].map(() => blocks.creditBlock(hash, TERMS)));
    expect(results.sort()).toEqual(['already', 'already', 'credited']);
    const half = NET / 2n;
    expect(await ledger.balance('tb1alice')).toMatchObject({ immatureSats: half, confirmedSats: 0n });
    expect(await ledger.balance('bob')).toMatchObject({ immatureSats: half });
    expect(await ledger.balance('late')).toMatchObject({ immatureSats: 0n });
    const { balances } = await ledger.totals();
    expect(balances.coinbase_immature).toBe(-COINBASE);
    expect(balances.pool_fee_immature).toBe(COINBASE / 100n);
  });

  it('reach back over days of slow mining, and no further than the window', async () => {
    // The window is two blocks of work: the oldest of three equal pieces is outside.
    const target = TEST_NETWORK_TARGET;
    const day = 86_400_000;
    const hash = await mineBlock(1, [
      { who: 'old', target, atMs: TEST_TIME_MS - 30 * day },
      { who: 'mid', target, atMs: TEST_TIME_MS - 9 * day },
      { who: 'new', target, atMs: TEST_TIME_MS },
    ]);
    await blocks.creditBlock(hash, TERMS);
    expect((await ledger.balance('old'))?.immatureSats).toBe(0n);
    expect((await ledger.balance('mid'))?.immatureSats).toBe(NET / 2n);
    expect((await ledger.balance('new'))?.immatureSats).toBe(NET / 2n);
    expect((await blocks.latestBlocks(1))[0]?.effort).toBeCloseTo(3, 6);
  });

  it('see every minute of the window, wherever the reading of it is cut', async () => {
    const minutes = 200;
    const hash = await mineBlock(
      1,
      Array.from({ length: minutes }, (_, i) => ({ who: `a${i % 7}`, atMs: TEST_TIME_MS + i * 60_000 })),
    );
    await blocks.creditBlock(hash, TERMS);
    const [row] = await database<{ work: string }[]>`
      select inputs->>'workInWindow' as work from ledger_transactions`;
    expect(BigInt(row?.work ?? 0)).toBe(TEST_WORK * BigInt(minutes));
  });

  it('pay a SOLO finder alone and leave its work out of the PPLNS window', async () => {
    await database`insert into accounts (name, is_address, scheme) values ('solo', false, 'solo')`;
    const pool = await mineBlock(1, [{ who: 'solo' }, { who: 'bob' }]);
    await blocks.creditBlock(pool, TERMS);
    expect((await ledger.balance('solo'))?.immatureSats).toBe(0n);
    const own = await mineBlock(3, [
      { who: 'bob', round: 1 },
      { who: 'solo', round: 1 },
    ]);
    await blocks.creditBlock(own, { ...TERMS, feePpm: () => 0 });
    expect((await ledger.balance('solo'))?.immatureSats).toBe(COINBASE);
  });

  it('mature once, not before 101 confirmations', async () => {
    const hash = await mineBlock(1, [{ who: 'tb1alice' }]);
    await blocks.creditBlock(hash, TERMS);
    await expect(blocks.matureBlock(hash, 100)).rejects.toThrow(/101 are needed/);
    const results = await Promise.all([1, 2].map(() => blocks.matureBlock(hash, 101)));
    expect(results.sort()).toEqual(['already', 'matured']);
    expect(await ledger.balance('tb1alice')).toMatchObject({
      immatureSats: 0n,
      confirmedSats: NET,
    });
    expect((await ledger.totals()).balances.wallet).toBe(-COINBASE);
    expect(await blocks.openBlocks(0)).toEqual([]);
  });

  it('are reversed by a reorg, and credited again with the same lines when they come back', async () => {
    const hash = await mineBlock(1, [{ who: 'tb1alice' }, { who: 'bob' }]);
    await blocks.creditBlock(hash, TERMS);
    const before = await ledger.totals();
    expect(await blocks.orphanBlock(hash, 'reorg')).toBe('reversed');
    expect(await blocks.orphanBlock(hash, 'reorg')).toBe('already');
    expect((await ledger.balance('tb1alice'))?.immatureSats).toBe(0n);
    expect((await blocks.latestBlocks(1))[0]).toMatchObject({ hash, status: 'orphaned', reason: 'reorg' });
    await expect(blocks.matureBlock(hash, 101)).resolves.toBe('not_credited');
    expect(await blocks.openBlocks(101)).toHaveLength(1);
    expect(await blocks.openBlocks(102)).toEqual([]);
    expect(await blocks.creditBlock(hash, { ...TERMS, feePpm: () => 500_000 })).toBe('credited');
    expect(await ledger.totals()).toEqual(before);
    expect(await blocks.orphanBlock(hash, 'again')).toBe('reversed');
    expect(await blocks.creditBlock(hash, TERMS)).toBe('credited');
    expect(await database`select count(*)::integer as n from ledger_transactions`).toEqual([{ n: 5 }]);
  });

  it('are reversed even after maturity; what was paid out is shown as a loss', async () => {
    const hash = await matured(1, [{ who: 'tb1alice' }]);
    const payout = await payouts.planPayout({ requestKey: 'k', thresholdSats: 1n, outputsMax: 10 });
    await payouts.storeSigned(payout?.id ?? 0n, {
      txid: 'ab'.repeat(32),
      rawTransaction: '02',
      networkFeeSats: 9n,
    });
    expect(await blocks.orphanBlock(hash, 'deep reorg')).toBe('reversed');
    const { balances } = await ledger.totals();
    expect(balances.orphan_loss).toBe(-NET);
    expect(balances.wallet).toBe(0n);
  });

  it('that the node refused are kept and worth nothing', async () => {
    const hash = await mineBlock(1, [{ who: 'tb1alice' }]);
    await blocks.rejectBlock(hash, 'bad-txnmrklroot');
    expect(await blocks.latestBlocks(5)).toMatchObject([
      { hash, status: 'rejected', reason: 'bad-txnmrklroot' },
    ]);
    expect(await blocks.countByStatus()).toEqual({ rejected: 1 });
    expect((await ledger.totals()).balances).toEqual({});
  });
});

describe('the ledger', () => {
  it('cannot be rewritten, not even by hand', async () => {
    await matured(1, [{ who: 'tb1alice' }]);
    for (const table of ['ledger_lines', 'ledger_transactions', 'ledger_accounts']) {
      await expect(database.unsafe(`delete from ${table}`)).rejects.toThrow(/append-only/);
      await expect(database.unsafe(`truncate ${table} cascade`)).rejects.toThrow(/append-only|by hand/);
    }
    await expect(database`update ledger_lines set amount_sats = 1`).rejects.toThrow(/append-only/);
    await expect(database`update ledger_balances set balance_sats = 0`).rejects.toThrow(/by hand is refused/);
  });

  it('shows a balance that is not the sum of its lines', async () => {
    await matured(1, [{ who: 'tb1alice' }]);
    await database`alter table ledger_balances disable trigger user`;
    const change = (sats: number) =>
      database`update ledger_balances set balance_sats = balance_sats + ${sats} where kind = 'pool_fee'`;
    await change(1);
    expect(await new LedgerStore(database).totals()).toMatchObject({ sumSats: 1n, mismatches: 1 });
    await change(-1);
  });

  it('refuses a transaction that does not sum to zero, has no lines, or is added to later', async () => {
    await matured(1, [{ who: 'tb1alice' }]);
    const insert = (key: string) => database`
      insert into ledger_transactions (kind, idempotency_key, rule, inputs)
      values ('block_credit', ${key}, '', '{}') returning id`;
    await expect(insert('empty')).rejects.toThrow(/sum to 0 satoshis|0 lines/);
    await expect(
      database.begin(async (tx) => {
        const [row] = await tx<{ id: bigint }[]>`
          insert into ledger_transactions (kind, idempotency_key, rule, inputs)
          values ('block_credit', 'uneven', '', '{}') returning id`;
        await tx`
          insert into ledger_lines (transaction_id, ledger_account_id, amount_sats)
          select ${row?.id ?? 0n}, id, case kind when 'wallet' then -5 else 4 end
          from ledger_accounts where kind in ('wallet', 'pool_fee')`;
      }),
    ).rejects.toThrow(/sum to -1 satoshis, not 0/);
    await expect(
      database`
        insert into ledger_lines (transaction_id, ledger_account_id, amount_sats)
        select 1, id, case kind when 'wallet' then -5 else 5 end
        from ledger_accounts where kind in ('wallet', 'pool_fee')`,
    ).rejects.toThrow(/takes no further lines/);
  });

  it('names the rule and the numbers behind every transaction', async () => {
    await matured(1, [{ who: 'tb1alice' }]);
    const rows = await database<{ kind: string; rule: string; inputs: Record<string, unknown> }[]>`
      select kind, rule, inputs from ledger_transactions order by id`;
    expect(rows.map(({ kind }) => kind)).toEqual(['block_credit', 'block_mature']);
    expect(rows[0]?.inputs).toMatchObject({
      coinbaseSats: COINBASE.toString(),
      windowPermille: 2000,
      parts: [{ scheme: 'pplns', weight: TEST_WORK.toString(), feePpm: 10_000, donationPpm: 0 }],
    });
  });
});

describe('payouts', () => {
  const SIGNED = { txid: 'cd'.repeat(32), rawTransaction: '0200', networkFeeSats: 300n };

  it('are planned for address accounts that reached their threshold, once per request', async () => {
    await matured(1, [{ who: 'tb1alice' }, { who: 'bob' }, { who: 'tb1carol' }]);
    await database`update accounts set payout_threshold_sats = 4000000000 where name = 'tb1carol'`;
    const terms = { requestKey: 'auto:1', thresholdSats: 1_000_000n, outputsMax: 100 };
    const plan = await payouts.planPayout(terms);
    expect(plan?.outputs.map(({ account }) => account)).toEqual(['tb1alice']);
    expect((await payouts.planPayout(terms))?.id).toBe(plan?.id);
    expect(await payouts.planPayout({ ...terms, requestKey: 'auto:2' })).toBeNull();
  });

  it('reserve, broadcast and settle exactly once', async () => {
    await matured(1, [{ who: 'tb1alice' }]);
    const before = (await ledger.balance('tb1alice'))?.confirmedSats ?? 0n;
    const plan = await payouts.planPayout({ requestKey: 'auto:1', thresholdSats: 1n, outputsMax: 1 });
    const id = plan?.id ?? 0n;
    const stored = await Promise.all([1, 2].map(() => payouts.storeSigned(id, SIGNED)));
    expect(stored.sort()).toEqual(['already', 'stored']);
    expect(await ledger.balance('tb1alice')).toMatchObject({ confirmedSats: 0n, inFlightSats: before });
    expect(await payouts.openPayouts()).toMatchObject([{ id, status: 'signed', rawTransaction: '0200' }]);
    await payouts.markBroadcast(id);
    await payouts.markBroadcast(id);
    const confirmed = await Promise.all([1, 2].map(() => payouts.markConfirmed(id)));
    expect(confirmed.sort()).toEqual(['already', 'confirmed']);
    expect(await ledger.balance('tb1alice')).toMatchObject({ inFlightSats: 0n, paidSats: before });
    const { balances } = await ledger.totals();
    expect(balances.wallet).toBe(-COINBASE + before + 300n);
    expect(balances.network_fees).toBe(-300n);
    expect(await payouts.payout(id)).toMatchObject({ status: 'confirmed', broadcasts: 2 });
  });

  it('return to the balance when their transaction can never confirm', async () => {
    await matured(1, [{ who: 'tb1alice' }]);
    const before = await ledger.totals();
    const plan = await payouts.planPayout({ requestKey: 'auto:1', thresholdSats: 1n, outputsMax: 1 });
    await payouts.storeSigned(plan?.id ?? 0n, SIGNED);
    expect(await payouts.failPayout(plan?.id ?? 0n, 'inputs spent elsewhere')).toBe('failed');
    expect(await payouts.failPayout(plan?.id ?? 0n, 'again')).toBe('already');
    const after = (await ledger.totals()).balances;
    expect(after.miner_confirmed).toBe(before.balances.miner_confirmed);
    expect(after.miner_in_flight).toBe(0n);
  });

  it('cannot pay more than the balance, whatever two plans believe', async () => {
    await matured(1, [{ who: 'tb1alice' }]);
    const plan = await payouts.planPayout({ requestKey: 'auto:1', thresholdSats: 1n, outputsMax: 1 });
    const [second] = await database<
      { id: bigint }[]
    >`insert into payouts (request_key) values ('x') returning id`;
    await database`
      insert into payout_outputs select ${second?.id ?? 0n}, account_id, address, amount_sats, sent_sats
      from payout_outputs where payout_id = ${plan?.id ?? 0n}`;
    await payouts.storeSigned(plan?.id ?? 0n, SIGNED);
    await expect(payouts.storeSigned(second?.id ?? 0n, { ...SIGNED, txid: 'ef'.repeat(32) })).rejects.toThrow(
      /balance_not_negative/,
    );
    expect((await payouts.payout(second?.id ?? 0n)).status).toBe('planned');
  });

  it('never change once signed', async () => {
    await matured(1, [{ who: 'tb1alice' }]);
    const plan = await payouts.planPayout({ requestKey: 'auto:1', thresholdSats: 1n, outputsMax: 1 });
    await payouts.storeSigned(plan?.id ?? 0n, SIGNED);
    await expect(database`update payouts set raw_transaction = '03'`).rejects.toThrow(/cannot change/);
    await expect(database`update payout_outputs set address = 'tb1mallory'`).rejects.toThrow(/never changed/);
    await expect(database`delete from payouts`).rejects.toThrow(/never deleted|violates foreign key/);
    await expect(payouts.markConfirmed(plan?.id ?? 0n)).rejects.toThrow(/only a broadcast payout/);
  });
});
