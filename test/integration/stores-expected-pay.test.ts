// PPS, PPS+ and FPPS: every share is paid its expected value once, out of the reserve, whatever dies in between. Real
// Postgres, real migrations, real stores; faults are raised by triggers inside the server.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Scheme } from '../../engine/accounting/schemes.js';
import { targetFromBits, workFromTarget } from '../../engine/bitcoin/target.js';
import { type ExpectedPayEvent, ExpectedPayRunner, type FeeChain } from '../../engine/expected-pay-runner.js';
import { startPostgres } from '../../storage/embedded/postgres.js';
import type { JournalBatch } from '../../storage/journal/batch.js';
import { AccountSettingsStore } from '../../storage/postgres/account-settings.js';
import { readAudit } from '../../storage/postgres/audit-log.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { ExpectedPayStore, type ExpectedPayTerms } from '../../storage/postgres/expected-pay-store.js';
import { FeeAverages } from '../../storage/postgres/fee-averages.js';
import { LedgerStore } from '../../storage/postgres/ledger-store.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import { ReserveStore } from '../../storage/postgres/reserve-store.js';
import { WorkStore } from '../../storage/postgres/work-store.js';
import { TEST_JOB, TEST_TARGET, TEST_TIME_MS } from '../fixtures/journal-batch.js';
import { type SchemeShare, schemeBatch } from '../fixtures/scheme-batch.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-expected-'));
let server: Awaited<ReturnType<typeof startPostgres>>;
let admin: Database;
let database: Database;
let work: WorkStore;
let store: ExpectedPayStore;
let averages: FeeAverages;
let reserve: ReserveStore;
let ledger: LedgerStore;
let databases = 0;

const SUBSIDY = 5_000_000_000n;
const FEE_PPM: Record<Scheme, number> = { pplns: 0, solo: 0, pps: 40_000, ppsplus: 30_000, fpps: 20_000 };
/** Halved at 150, so that the height of each share matters. */
const TERMS: ExpectedPayTerms = {
  subsidySats: (height) => (height < 150 ? SUBSIDY : SUBSIDY / 2n),
  feePpm: (scheme) => FEE_PPM[scheme],
};
const BITS = TEST_JOB.bits;
const HARDER = 0x1c7fff80;

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

function urlOf(name: string): string {
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  return url.href;
}

async function openFresh(): Promise<void> {
  const name = `t${++databases}`;
  await admin.unsafe(`create database ${name} template migrated`);
  database = openPostgres({ url: urlOf(name), poolSize: 6, timeoutS: 10 });
  work = new WorkStore(database, { defaultScheme: 'pplns', isAddress: () => false });
  store = new ExpectedPayStore(database);
  averages = new FeeAverages(database);
  reserve = new ReserveStore(database);
  ledger = new LedgerStore(database);
}

async function closeFresh(): Promise<void> {
  const { sumSats, mismatches } = await new LedgerStore(database).totals();
  await database.end({ timeout: 1 });
  expect({ sumSats, mismatches }).toEqual({ sumSats: 0n, mismatches: 0 });
}

async function fund(sats: bigint, key = 'start'): Promise<void> {
  const deposit = { key, sats, actor: 'operator', reason: 'test' };
  await reserve.depositCapital(deposit);
  await reserve.fundReserve(deposit, 'capital');
}

/** Value of a share before fee, exact: numerator over denominator, in satoshis. */
function exact(share: SchemeShare, averageFees: bigint): { of: bigint; by: bigint } {
  const reward = TERMS.subsidySats(share.height ?? 101) + (share.scheme === 'fpps' ? averageFees : 0n);
  const networkWork = workFromTarget(targetFromBits(share.bits ?? BITS));
  return { of: workFromTarget(share.target ?? TEST_TARGET) * reward, by: networkWork };
}

const confirmed = async (account: string) => (await ledger.balance(account))?.confirmedSats ?? 0n;
const feesOfBlocks = (each: bigint) => Array.from({ length: 144 }, () => each);
const HASH = 'ab'.repeat(32);

interface BookedShare extends SchemeShare {
  node: number;
  seq: number;
}

/** What a credit says it pays, as stored. */
interface StoredPart {
  scheme: Scheme;
  height: number;
  bits: number;
  ranges: { node: number; from: string; to: string }[];
  work: { account: number; shares: string; work: string }[];
}

/** Recomputes the work of every credit from the shares in the ranges that it names. Number of credits. */
async function expectCovered(plain: readonly BookedShare[]) {
  const rows = await database<{ inputs: { parts: StoredPart[] } }[]>`
    select inputs from ledger_transactions where kind = 'expected_pay' order by id`;
  const accounts = await database<{ id: number; name: string }[]>`select id, name from accounts`;
  const times = new Map<object, number>();
  for (const part of rows.flatMap(({ inputs }) => inputs.parts)) {
    const inRange = plain.filter(
      (one) =>
        one.verdict !== 'stale' &&
        one.scheme === part.scheme &&
        (one.height ?? TEST_JOB.height) === part.height &&
        (one.bits ?? BITS) === part.bits &&
        part.ranges.some(
          ({ node, from, to }) => node === one.node && one.seq >= Number(from) && one.seq < Number(to),
        ),
    );
    for (const one of inRange) times.set(one, (times.get(one) ?? 0) + 1);
    for (const { account, shares, work } of part.work) {
      const name = accounts.find(({ id }) => id === account)?.name;
      const mine = inRange.filter((one) => one.account === name);
      expect(mine.length).toBe(Number(shares));
      expect(mine.reduce((sum, one) => sum + workFromTarget(one.target ?? TEST_TARGET), 0n)).toBe(
        BigInt(work),
      );
    }
  }
  const expected = plain.filter(({ verdict, scheme }) => verdict !== 'stale' && scheme !== 'pplns');
  expect(expected.filter((one) => times.get(one) !== 1)).toEqual([]);
  return rows.length;
}

describe('expected pay', () => {
  beforeEach(async () => {
    await openFresh();
    return closeFresh;
  });

  it('pays each share work x reward of its height / network work, less the fee of its scheme', async () => {
    await fund(SUBSIDY);
    await averages.store(0, feesOfBlocks(7_200n), HASH);
    const shares: SchemeShare[] = [
      { account: 'pps', scheme: 'pps' },
      { account: 'plus', scheme: 'ppsplus', bits: HARDER },
      { account: 'full', scheme: 'fpps', height: 144 },
      { account: 'later', scheme: 'pps', height: 150 },
      { account: 'none', scheme: 'pplns' },
      { account: 'stale', scheme: 'pps', verdict: 'stale' },
    ];
    await work.applyBatch(schemeBatch(1, shares));
    expect(await store.creditExpectedPay(TERMS)).toMatchObject({ status: 'paid', shares: 4n, accounts: 4 });
    for (const share of shares.slice(0, 4)) {
      const { of, by } = exact(share, 7_200n);
      const keeps = BigInt(1_000_000 - FEE_PPM[share.scheme]);
      expect(await confirmed(share.account), share.account).toBe((of * keeps) / (by * 1_000_000n));
    }
    for (const account of ['none', 'stale']) expect(await confirmed(account)).toBe(0n);
    expect(await store.creditExpectedPay(TERMS)).toEqual({ status: 'nothing' });
  });

  it('takes an account’s own fee and donation', async () => {
    await fund(SUBSIDY);
    await work.applyBatch(schemeBatch(1, [{ account: 'bob', scheme: 'pps' }]));
    const settings = new AccountSettingsStore(database);
    await settings.change('bob', { feePpm: 0, donationPpm: 500_000 }, { actor: 'cli', reason: 'test' });
    await store.creditExpectedPay(TERMS);
    const { of, by } = exact({ account: 'bob', scheme: 'pps' }, 0n);
    expect(await confirmed('bob')).toBe(of / (2n * by));
    const { balances } = await ledger.totals();
    expect(balances.donation).toBe(of / (2n * by));
    expect(balances.pool_fee ?? 0n).toBe(0n);
  });

  it('carries fractions of a satoshi until they make a whole one', async () => {
    await fund(1_000_000n);
    // A share that every hash meets is worth a little more than a satoshi.
    const share: SchemeShare = { account: 'small', scheme: 'pps', target: (1n << 256n) - 1n };
    for (let seq = 1; seq <= 40; seq++) {
      await work.applyBatch(schemeBatch(seq, [share]));
      await store.creditExpectedPay(TERMS);
    }
    const { of, by } = exact(share, 0n);
    expect(await confirmed('small')).toBe((40n * of * 960_000n) / (by * 1_000_000n));
  });

  it('leaves work that makes no whole satoshi where it is', async () => {
    await fund(1_000_000n);
    const none = { ...TERMS, subsidySats: () => 1n };
    await work.applyBatch(schemeBatch(1, [{ account: 'bob', scheme: 'pps' }]));
    expect(await store.creditExpectedPay(none)).toEqual({ status: 'nothing' });
    expect(await database`select shares from expected_work`).toEqual([{ shares: 1n }]);
  });

  it('waits whole while the reserve is short, is shown as owed, and is paid later', async () => {
    await fund(100_000n);
    const shares: SchemeShare[] = [
      { account: 'bob', scheme: 'pps' },
      { account: 'eve', scheme: 'ppsplus' },
    ];
    await work.applyBatch(schemeBatch(1, shares));
    const { of, by } = exact({ account: 'bob', scheme: 'pps' }, 0n);
    const owed = (2n * of) / by;
    expect(await store.owed(TERMS)).toEqual({ sats: owed, shares: 2n, notReadyShares: 0n });
    const short = await store.creditExpectedPay(TERMS);
    expect(short).toMatchObject({ status: 'short', reserveSats: 100_000n });
    expect(await confirmed('bob')).toBe(0n);
    await fund(100_000n, 'more');
    expect(await store.creditExpectedPay(TERMS)).toMatchObject({ status: 'paid', shares: 2n });
    expect(await confirmed('bob')).toBe((of * 96n) / (by * 100n));
    const left = (await reserve.balances()).reserveSats;
    expect(left - (await store.owed(TERMS)).sats).toBe(200_000n - owed);
  });

  it('holds up only FPPS work whose average fees are not known yet', async () => {
    await fund(SUBSIDY);
    await work.applyBatch(
      schemeBatch(1, [
        { account: 'waits', scheme: 'fpps', height: 300 },
        { account: 'first', scheme: 'fpps', height: 143 },
        { account: 'pps', scheme: 'pps', height: 300 },
      ]),
    );
    expect(await averages.missing(9)).toEqual([1]);
    expect(await store.creditExpectedPay(TERMS)).toMatchObject({ status: 'paid', shares: 2n });
    expect(await confirmed('waits')).toBe(0n);
    expect(await store.creditExpectedPay(TERMS)).toEqual({ status: 'not_ready' });
    expect(await store.owed(TERMS)).toMatchObject({ shares: 1n, notReadyShares: 1n });
    expect(await averages.store(1, feesOfBlocks(1_000_000n).with(7, 1_000_143n), HASH)).toBe('stored');
    expect(await averages.store(1, feesOfBlocks(9n), HASH)).toBe('already');
    expect((await averages.latest(1))[0]).toMatchObject({
      epoch: 1,
      firstHeight: 144,
      lastHeight: 287,
      totalFeesSats: 144_000_143n,
      averageFeesSats: 1_000_000n,
      blockFeesSats: feesOfBlocks(1_000_000n).with(7, 1_000_143n),
    });
    await expect(database`update fee_averages set average_fees_sats = 1`).rejects.toThrow(/append-only/);
    expect(await store.creditExpectedPay(TERMS)).toMatchObject({ status: 'paid', shares: 1n });
    const { of, by } = exact({ account: 'waits', scheme: 'fpps', height: 300 }, 1_000_000n);
    expect(await confirmed('waits')).toBe((of * 98n) / (by * 100n));
    expect(await averages.missing(9)).toEqual([]);
  });

  it('is paid once by credits that run at the same time, while lanes book', async () => {
    await fund(SUBSIDY);
    const names = ['bob', 'eve', 'joe', 'kim', 'lea', 'max', 'ned', 'pia'];
    const plain: BookedShare[] = [];
    const lanes = [0, 1, 2].map(async (node) => {
      for (let batch = 0; batch < 12; batch++) {
        const from = 1 + batch * names.length;
        // Each batch in another order, so that ranges of accounts interleave.
        const shares = names.map((_, index): SchemeShare => {
          return { account: names[(index * 3 + batch + node) % names.length] as string, scheme: 'pps' };
        });
        plain.push(...shares.map((share, index) => ({ ...share, node, seq: from + index })));
        await work.applyBatch(schemeBatch(from, shares, node));
      }
    });
    const credits = [1, 2, 3].map(async () => {
      for (let times = 0; times < 12; times++) await store.creditExpectedPay(TERMS);
    });
    await Promise.all([...lanes, ...credits]);
    await store.creditExpectedPay(TERMS);
    const { of, by } = exact({ account: 'bob', scheme: 'pps' }, 0n);
    for (const name of names) expect(await confirmed(name)).toBe((36n * of * 96n) / (by * 100n));
    expect(await expectCovered(plain)).toBeGreaterThan(2);
  });

  it('goes height by height when there is more than one credit can hold', async () => {
    await fund(SUBSIDY);
    const few = new ExpectedPayStore(database, 3);
    const shares = [101, 101, 102, 103, 104].flatMap((height): SchemeShare[] => [
      { account: 'bob', scheme: 'pps', height },
      { account: 'eve', scheme: 'pps', height },
    ]);
    await work.applyBatch(schemeBatch(1, shares));
    expect(await few.creditExpectedPay(TERMS)).toMatchObject({ status: 'paid', shares: 4n, more: true });
    for (const more of [true, true, false]) {
      expect(await few.creditExpectedPay(TERMS)).toMatchObject({ status: 'paid', shares: 2n, more });
    }
    expect(await few.creditExpectedPay(TERMS)).toEqual({ status: 'nothing' });
  });
});

describe('any order of batches, redeliveries, credits and deaths in the middle of either', () => {
  const FAULTS = ['shipper_cursor', 'expected_work', 'expected_carry', 'ledger_transactions', 'ledger_lines'];
  const share = fc.record({
    account: fc.constantFrom('alice', 'bob', 'carol'),
    scheme: fc.constantFrom('pps' as const, 'ppsplus' as const, 'fpps' as const, 'pplns' as const),
    target: fc.constantFrom(TEST_TARGET, TEST_TARGET / 7n, (1n << 256n) - 1n),
    height: fc.constantFrom(100, 149, 150, 290),
    bits: fc.constantFrom(BITS, HARDER),
    verdict: fc.constantFrom('accepted' as const, 'accepted' as const, 'stale' as const),
  });
  const fault = fc.option(fc.constantFrom(...FAULTS), { freq: 3 });
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant('batch' as const),
        node: fc.nat({ max: 1 }),
        shares: fc.array(share, { minLength: 1, maxLength: 8 }),
        fault,
        answerLost: fc.boolean(),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('credit' as const), fault }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('average' as const), epoch: fc.nat({ max: 1 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('fund' as const) }) },
  );
  const AVERAGES = [123_456_789n, 987n];

  /** The server kills whatever changes that table, as a crash in the middle of the transaction would. */
  async function installFaults(): Promise<void> {
    await database.unsafe(`
      create table fault (at text);
      create function fail_there() returns trigger language plpgsql as $$
      begin
        if exists (select from fault where at = tg_table_name) then raise exception 'injected fault'; end if;
        return null;
      end $$;
      ${FAULTS.map(
        (table) =>
          `create trigger fault after insert or update or delete on ${table} for each statement execute function fail_there();`,
      ).join('\n')}`);
  }

  async function withFault<Result>(at: string | null, action: () => Promise<Result>): Promise<Result | null> {
    if (at === null) return await action();
    await database`insert into fault values (${at})`;
    try {
      return await action();
    } catch (error) {
      if (!(error as Error).message.includes('injected fault')) throw error;
      return null;
    } finally {
      await database`delete from fault`;
    }
  }

  it('pays every accepted share of every lane once, to the fraction that is carried', async () => {
    const seen = { killedBatches: 0, killedCredits: 0, redelivered: 0, short: 0, notReady: 0, credits: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 50 }), async (steps) => {
        await openFresh();
        await installFaults();
        await fund(3_000_000n);
        const plain: BookedShare[] = [];
        const next = [1, 1];
        let funds = 0;
        const deliver = async (batch: JournalBatch, at: string | null) => {
          if ((await withFault(at, () => work.applyBatch(batch))) !== null) return;
          seen.killedBatches++;
          await work.applyBatch(batch);
        };
        const credit = async (at: string | null) => {
          const result = await withFault(at, () => store.creditExpectedPay(TERMS));
          if (result === null) seen.killedCredits++;
          if (result?.status === 'short') seen.short++;
          if (result?.status === 'not_ready') seen.notReady++;
          return result;
        };
        for (const each of steps) {
          if (each.do === 'batch') {
            const { node, shares } = each;
            const from = next[node] as number;
            const batch = schemeBatch(from, shares, node);
            await deliver(batch, each.fault);
            if (each.answerLost) {
              expect(await work.applyBatch(batch)).toBe('already');
              seen.redelivered++;
            }
            plain.push(...shares.map((one, index) => ({ ...one, node, seq: from + index })));
            next[node] = from + shares.length;
          } else if (each.do === 'credit') await credit(each.fault);
          else if (each.do === 'average') {
            await averages.store(each.epoch, feesOfBlocks(AVERAGES[each.epoch] as bigint), HASH);
          } else await fund(2_000_000n, `more ${++funds}`);
        }
        for (const [epoch, fees] of AVERAGES.entries()) await averages.store(epoch, feesOfBlocks(fees), HASH);
        await fund(100n * SUBSIDY, 'end');
        while ((await credit(null))?.status === 'paid');
        await expectPaidOnce(plain);
        seen.credits += await expectCovered(plain);
        await closeFresh();
      }),
      { seed: 20261121, numRuns: 25, endOnFailure: true },
    );
    for (const [what, times] of Object.entries(seen)) expect(times, what).toBeGreaterThan(5);
  }, 180_000);

  /** Rationals over one denominator, share by share, against what the ledger paid. */
  async function expectPaidOnce(plain: readonly SchemeShare[]): Promise<void> {
    const by = workFromTarget(targetFromBits(BITS)) * workFromTarget(targetFromBits(HARDER)) * 1_000_000n;
    const owed = new Map<string, { miner: bigint; fee: bigint }>();
    for (const one of plain) {
      if (one.verdict === 'stale' || one.scheme === 'pplns') continue;
      const epoch = Math.floor((one.height ?? 0) / 144) - 1;
      const value = exact(one, AVERAGES[epoch] ?? 0n);
      const ppm = BigInt(FEE_PPM[one.scheme]);
      const sum = owed.get(one.account) ?? { miner: 0n, fee: 0n };
      const scale = by / 1_000_000n / value.by;
      sum.miner += value.of * scale * (1_000_000n - ppm);
      sum.fee += value.of * scale * ppm;
      owed.set(one.account, sum);
    }
    // Floors of 2^-64 sat, a few hundred of them.
    const dust = by >> 50n;
    let fees = 0n;
    for (const [account, { miner, fee }] of owed) {
      const left = miner - (await confirmed(account)) * by;
      expect(left >= 0n && left < by + dust, `${account} is short of ${left} / ${by} satoshis`).toBe(true);
      fees += fee;
    }
    const feesLeft = fees - ((await ledger.totals()).balances.pool_fee ?? 0n) * by;
    expect(feesLeft >= 0n && feesLeft < BigInt(owed.size) * (by + dust)).toBe(true);
  }
});

describe('the runner', () => {
  beforeEach(async () => {
    await openFresh();
    return closeFresh;
  });

  /** Fakes a node: blocks with fees by height, and failures. */
  class FakeFeeChain implements FeeChain {
    tip = 0;
    away = false;
    branch = 'a';
    asked: number[] = [];
    async tipHeight() {
      return this.tip;
    }
    async totalFees(height: number) {
      if (this.away) throw new Error('node is away');
      this.asked.push(height);
      return { hash: this.branch.repeat(64), feesSats: BigInt(height) };
    }
  }

  function runner(chain: FeeChain, options: { limit?: bigint } = {}) {
    const events: ExpectedPayEvent[] = [];
    let nowMs = TEST_TIME_MS;
    const made = new ExpectedPayRunner({
      store,
      averages,
      reserve,
      chain,
      terms: TERMS,
      reserveLimitSats: options.limit ?? 0n,
      everyMs: 60_000,
      onEvent: (event) => events.push(event),
      nowMs: () => nowMs,
    });
    const step = async () => {
      nowMs += 60_000;
      await made.step();
    };
    return { made, events, step };
  }

  it('fetches the fees of an epoch in pieces, once its last block is deep enough, and pays with them', async () => {
    await fund(SUBSIDY);
    await work.applyBatch(schemeBatch(1, [{ account: 'bob', scheme: 'fpps', height: 150 }]));
    const chain = new FakeFeeChain();
    const { step, events, made } = runner(chain);
    chain.tip = 147;
    await step();
    expect(chain.asked).toEqual([]);
    expect(made.state).toMatchObject({ notReadyShares: 1n, mode: 'covered' });
    chain.tip = 148;
    for (let steps = 0; steps < 2; steps++) await step();
    expect(await averages.latest(1)).toEqual([]);
    chain.away = true;
    for (let steps = 0; steps < 2; steps++) await step();
    expect(events).toEqual([{ type: 'fee_average_waits', epoch: 0, reason: 'node is away' }]);
    chain.away = false;
    await step();
    expect((await averages.latest(1))[0]).toMatchObject({
      epoch: 0,
      averageFeesSats: 71n,
      lastBlockHash: 'a'.repeat(64),
    });
    expect(events.at(-1)).toMatchObject({ type: 'expected_paid', shares: 1n });
    expect(made.state?.notReadyShares).toBe(0n);
    // What is carried: less than a satoshi each for the miner and the fee.
    expect(made.state?.owedSats).toBeLessThan(2n);
  });

  it('fetches anew when the chain changed under what it had', async () => {
    await work.applyBatch(schemeBatch(1, [{ account: 'bob', scheme: 'fpps', height: 150 }]));
    const chain = new FakeFeeChain();
    chain.tip = 200;
    const { step } = runner(chain);
    await step();
    chain.branch = 'b';
    for (let steps = 0; steps < 3; steps++) await step();
    expect(chain.asked.filter((height) => height === 0)).toHaveLength(2);
    expect((await averages.latest(1))[0]?.lastBlockHash).toBe('b'.repeat(64));
  });

  it('says once that the reserve is short, falls back below its limit, and returns, also over a restart', async () => {
    await fund(100_000n);
    const chain = new FakeFeeChain();
    const first = runner(chain, { limit: 90_000n });
    await first.step();
    expect(first.made.state).toMatchObject({ mode: 'covered', ruinProbability: null });
    const shares = Array.from({ length: 2 }, (): SchemeShare => ({ account: 'bob', scheme: 'pps' }));
    await work.applyBatch(schemeBatch(1, shares));
    await first.step();
    await first.step();
    expect(first.events.map(({ type }) => type)).toEqual(['expected_pay_short', 'reserve_mode']);
    const { of, by } = exact({ account: 'bob', scheme: 'pps' }, 0n);
    expect(first.made.state).toMatchObject({
      mode: 'fall_back',
      reserveSats: 100_000n,
      owedSats: (2n * of) / by,
    });
    const again = runner(chain, { limit: 90_000n });
    await again.step();
    expect(again.made.state?.mode).toBe('fall_back');
    await fund(SUBSIDY, 'more');
    await again.step();
    expect(again.events.map(({ type }) => type)).toEqual([
      'expected_pay_short',
      'expected_paid',
      'reserve_mode',
    ]);
    const paid =
      again.events.flatMap((event) => (event.type === 'expected_paid' ? [event.totalSats] : []))[0] ?? 0n;
    expect(again.made.state).toMatchObject({ mode: 'covered', reserveSats: SUBSIDY + 100_000n - paid });
    const rows = await readAudit(database, 10, 'reserve');
    expect(rows.map(({ action }) => action)).toEqual([
      ...['reserve_covered', 'fund_reserve', 'deposit_capital', 'reserve_fall_back'],
      ...['fund_reserve', 'deposit_capital'],
    ]);
  });

  it('shows how likely the reserve is to run out', async () => {
    await fund(20n * SUBSIDY);
    const { made, step } = runner(new FakeFeeChain());
    await work.applyBatch(schemeBatch(1, [{ account: 'bob', scheme: 'pps' }]));
    await step();
    // 20 blocks at 4 %: exp(-20 x), x the root of 0.96 x = 1 - exp(-x).
    expect(made.state?.ruinProbability).toBeCloseTo(Math.exp(-20 * 0.0822), 3);
  });
});
