// Several schemes in one pool: who gets what of a block, what a reorg takes back, and what accounts choose. Real
// Postgres, real migrations, real stores.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { windowWork } from '../../engine/accounting/pplns-window.js';
import type { Scheme } from '../../engine/accounting/schemes.js';
import { startPostgres } from '../../storage/embedded/postgres.js';
import { AccountSettingsStore } from '../../storage/postgres/account-settings.js';
import { readAudit } from '../../storage/postgres/audit-log.js';
import { BlockStore, type CreditTerms } from '../../storage/postgres/block-store.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { ExpectedPayStore } from '../../storage/postgres/expected-pay-store.js';
import { activateLanes } from '../../storage/postgres/ledger-lanes.js';
import { LedgerStore } from '../../storage/postgres/ledger-store.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import { PayoutStore } from '../../storage/postgres/payout-store.js';
import { ReserveStore } from '../../storage/postgres/reserve-store.js';
import { WorkStore } from '../../storage/postgres/work-store.js';
import { TEST_NETWORK_TARGET, TEST_WORK, testBatch, testHash } from '../fixtures/journal-batch.js';
import { type SchemeShare, schemeBatch } from '../fixtures/scheme-batch.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-schemes-'));
let server: Awaited<ReturnType<typeof startPostgres>>;
let admin: Database;
let database: Database;
let work: WorkStore;
let blocks: BlockStore;
let ledger: LedgerStore;
let settings: AccountSettingsStore;
let reserve: ReserveStore;
let databases = 0;

const SUBSIDY = 5_000_000_000n;
const FEES = 10_000_003n;
const FEE_PPM: Record<Scheme, number> = {
  pplns: 10_000,
  solo: 5_000,
  pps: 40_000,
  ppsplus: 30_000,
  fpps: 20_000,
};
const TERMS: CreditTerms = {
  subsidySats: SUBSIDY,
  feesSats: FEES,
  feePpm: (scheme) => FEE_PPM[scheme],
  windowPermille: 2000,
  defaultScheme: 'pplns',
};
const BY_OPERATOR = { actor: 'operator', reason: 'asked for by the account' };

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
  const name = `t${++databases}`;
  await admin.unsafe(`create database ${name}`);
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  database = openPostgres({ url: url.href, poolSize: 4, timeoutS: 10 });
  await migratePostgres(database);
  await activateLanes(database, { running: [0], former: [] });
  work = new WorkStore(database, { defaultScheme: 'pplns', isAddress: (each) => each.startsWith('tb1') });
  blocks = new BlockStore(database);
  ledger = new LedgerStore(database);
  settings = new AccountSettingsStore(database);
  reserve = new ReserveStore(database);
  return async () => {
    const totals = await new LedgerStore(database).totals();
    expect(totals.sumSats).toBe(0n);
    expect(totals.mismatches).toBe(0);
    await database.end({ timeout: 1 });
  };
});

/** Books shares whose last one is a block candidate, credits it, and returns its hash. */
async function credited(firstSeq: number, shares: readonly SchemeShare[]): Promise<string> {
  const last = shares.at(-1) as SchemeShare;
  await work.applyBatch(schemeBatch(firstSeq, shares.with(-1, { ...last, block: true })));
  const hash = testHash(0, firstSeq + shares.length - 1);
  expect(await blocks.creditBlock(hash, TERMS)).toBe('credited');
  return hash;
}

const immature = async (account: string) => (await ledger.balance(account))?.immatureSats;

/** floor(amount x part / of) less a fee in ppm, as one floor. */
const less = (amount: bigint, feePpm: number, of = 1n) =>
  (amount * BigInt(1_000_000 - feePpm)) / (of * 1_000_000n);

describe('a block of a pool with several schemes', () => {
  it('gives each part of one window what the scheme of its work says', async () => {
    await credited(1, [
      { account: 'lone', scheme: 'solo' },
      { account: 'pps', scheme: 'pps' },
      { account: 'plus', scheme: 'ppsplus' },
      { account: 'full', scheme: 'fpps' },
      { account: 'last', scheme: 'pplns' },
    ]);
    expect(await immature('last')).toBe(less(SUBSIDY + FEES, FEE_PPM.pplns, 4n));
    expect(await immature('plus')).toBe(less(FEES, FEE_PPM.ppsplus, 4n));
    for (const account of ['pps', 'full', 'lone']) expect(await immature(account)).toBe(0n);
    const { balances } = await ledger.totals();
    expect(balances.reserve_immature).toBe((3n * SUBSIDY + 2n * FEES) / 4n);
    expect(balances.coinbase_immature).toBe(-(SUBSIDY + FEES));
    expect(balances.remainder_immature ?? 0n).toBeLessThanOrEqual(4n);
  });

  it('is its finder’s when solo work found it, also while the account mines otherwise too', async () => {
    await credited(1, [
      { account: 'both', scheme: 'pplns' },
      { account: 'bob', scheme: 'pplns' },
      { account: 'both', scheme: 'solo' },
    ]);
    expect(await immature('both')).toBe(less(SUBSIDY + FEES, FEE_PPM.solo));
    expect(await immature('bob')).toBe(0n);
    expect((await blocks.latestBlocks(1))[0]?.finderScheme).toBe('solo');
  });

  it('counts each share by the scheme it was taken under, when the account changes it in between', async () => {
    await work.applyBatch(schemeBatch(1, [{ account: 'bob', scheme: 'pplns' }]));
    await settings.change('bob', { scheme: 'pps' }, BY_OPERATOR);
    expect(await settings.chosenSchemes()).toEqual([['bob', 'pps']]);
    // Taken before the connection threads heard of it, booked after: as it was taken.
    await work.applyBatch(schemeBatch(2, [{ account: 'bob', scheme: 'pplns' }]));
    await credited(3, [
      { account: 'bob', scheme: 'pps' },
      { account: 'bob', scheme: 'pps' },
    ]);
    expect(await immature('bob')).toBe(less(SUBSIDY + FEES, FEE_PPM.pplns, 2n));
    expect(
      await database`
      select scheme, sum(shares)::integer as shares from work_slices group by scheme order by scheme`,
    ).toEqual([
      { scheme: 'pplns', shares: 2 },
      { scheme: 'pps', shares: 2 },
    ]);
    expect(await database`select scheme, shares from expected_work`).toEqual([{ scheme: 'pps', shares: 2n }]);
  });

  it('takes the account’s scheme for shares of journals that say none', async () => {
    await work.applyBatch(testBatch(1, [{ who: 'bob' }]));
    await settings.change('bob', { scheme: 'fpps' }, BY_OPERATOR);
    const restarted = new WorkStore(database, { defaultScheme: 'pplns', isAddress: () => false });
    await restarted.applyBatch(testBatch(2, [{ who: 'bob' }]));
    expect(await database`select scheme, shares from expected_work`).toEqual([
      { scheme: 'fpps', shares: 1n },
    ]);
  });

  it('takes an account’s own fee and donation, and writes down every number it was split by', async () => {
    await work.applyBatch(schemeBatch(1, [{ account: 'free', scheme: 'pplns' }]));
    await settings.change('free', { feePpm: 0, donationPpm: 250_000 }, BY_OPERATOR);
    await credited(2, [{ account: 'bob', scheme: 'pplns' }]);
    const half = (SUBSIDY + FEES) / 2n;
    expect(await immature('free')).toBe(less(SUBSIDY + FEES, 250_000, 2n));
    expect((await ledger.totals()).balances.donation_immature).toBe(half / 4n);
    expect(await immature('bob')).toBe(less(SUBSIDY + FEES, FEE_PPM.pplns, 2n));
    const [row] = await database<
      { inputs: Record<string, unknown> }[]
    >`select inputs from ledger_transactions`;
    expect(row?.inputs).toMatchObject({
      finder: { scheme: 'pplns', feePpm: FEE_PPM.pplns },
      subsidySats: SUBSIDY.toString(),
      feesSats: FEES.toString(),
      parts: [
        { account: 1, scheme: 'pplns', feePpm: 0, donationPpm: 250_000 },
        { account: 2, scheme: 'pplns', feePpm: FEE_PPM.pplns, donationPpm: 0 },
      ],
    });
  });

  it('moves the reserve’s part with its maturity', async () => {
    const hash = await credited(1, [{ account: 'pps', scheme: 'pps' }]);
    expect((await reserve.balances()).reserveSats).toBe(0n);
    await blocks.matureBlock(hash, 101);
    expect(await reserve.balances()).toMatchObject({ reserveSats: SUBSIDY + FEES, reserveImmatureSats: 0n });
  });
});

describe('a matured block that a reorg takes', () => {
  const pay = () =>
    new ExpectedPayStore(database).creditExpectedPay({ subsidySats: () => SUBSIDY, feePpm: TERMS.feePpm });

  it('takes back what the reserve still holds; what shares were paid from it is the loss', async () => {
    const hash = await credited(1, [
      { account: 'pps', scheme: 'pps' },
      { account: 'bob', scheme: 'pplns' },
    ]);
    await blocks.matureBlock(hash, 101);
    const paid = await pay();
    if (paid.status !== 'paid') throw new Error(`the reserve paid nothing: ${paid.status}`);
    expect(await blocks.orphanBlock(hash, 'deep reorg')).toBe('reversed');
    const { balances } = await ledger.totals();
    expect(balances.reserve).toBe(0n);
    expect(balances.wallet).toBe(0n);
    // The fee that came off the share is still in the house and is taken too, as far as the block's own went.
    expect(-(balances.orphan_loss ?? 0n)).toBe(paid.totalSats);
    const value = less(TEST_WORK * SUBSIDY, FEE_PPM.pps, windowWork(TEST_NETWORK_TARGET, 1000));
    expect((await ledger.balance('pps'))?.confirmedSats).toBe(value);
  });

  it('pays nobody twice when it comes back after it was paid out', async () => {
    const hash = await credited(1, [{ account: 'tb1bob', scheme: 'pplns' }]);
    await blocks.matureBlock(hash, 101);
    const before = await ledger.totals();
    const payouts = new PayoutStore(database);
    const plan = await payouts.planPayout({ requestKey: 'k', thresholdSats: 1n, outputsMax: 10 });
    const id = plan?.id ?? 0n;
    await payouts.storeSigned(id, { txid: 'ab'.repeat(32), rawTransaction: '02', networkFeeSats: 9n });
    expect(await blocks.orphanBlock(hash, 'deep reorg')).toBe('reversed');
    expect((await ledger.totals()).balances.orphan_loss).toBe(-less(SUBSIDY + FEES, FEE_PPM.pplns));
    expect(await blocks.creditBlock(hash, TERMS)).toBe('credited');
    expect(await ledger.balance('tb1bob')).toMatchObject({ immatureSats: 0n, confirmedSats: 0n });
    expect((await ledger.totals()).balances.orphan_loss).toBe(0n);
    // Lost and found once more before it matures again.
    expect(await blocks.orphanBlock(hash, 'again')).toBe('reversed');
    expect(await blocks.creditBlock(hash, TERMS)).toBe('credited');
    await blocks.matureBlock(hash, 101);
    const { balances } = await ledger.totals();
    expect(balances.wallet).toBe(before.balances.wallet);
    expect(balances.pool_fee).toBe(before.balances.pool_fee);
    expect(balances.orphan_loss).toBe(0n);
    expect(await ledger.balance('tb1bob')).toMatchObject({ immatureSats: 0n, confirmedSats: 0n });
    expect(await blocks.orphanBlock(hash, 'once more')).toBe('reversed');
    expect((await ledger.totals()).balances.orphan_loss).toBe(-less(SUBSIDY + FEES, FEE_PPM.pplns));
  });
});

describe('settings of an account', () => {
  beforeEach(async () => {
    await work.applyBatch(schemeBatch(1, [{ account: 'bob', scheme: 'pplns' }]));
  });

  it('are changed with who, why, and the values before and after', async () => {
    await settings.change('bob', { scheme: 'ppsplus', thresholdSats: 5_000n }, BY_OPERATOR);
    const after = await settings.change(
      'bob',
      { scheme: null, feePpm: 0 },
      { actor: 'cli', reason: 'a friend' },
    );
    expect(after).toEqual({ scheme: null, feePpm: 0, donationPpm: null, thresholdSats: 5_000n });
    expect(await settings.read('bob')).toEqual(after);
    expect(await settings.chosenSchemes()).toEqual([]);
    expect(await readAudit(database, 10, 'bob')).toMatchObject([
      {
        actor: 'cli',
        action: 'account_settings',
        reason: 'a friend',
        inputs: { scheme: { before: 'ppsplus', after: null }, feePpm: { before: null, after: 0 } },
      },
      {
        actor: 'operator',
        inputs: {
          scheme: { before: null, after: 'ppsplus' },
          thresholdSats: { before: null, after: '5000' },
        },
      },
    ]);
  });

  it('leave no row when nothing changes, and none when the change is refused', async () => {
    await settings.change('bob', { scheme: null }, BY_OPERATOR);
    await expect(settings.change('bob', { feePpm: 1_000_001 }, BY_OPERATOR)).rejects.toThrow(
      /0 to 1000000 ppm/,
    );
    await expect(settings.change('bob', { scheme: 'pp' as Scheme }, BY_OPERATOR)).rejects.toThrow(
      /no scheme pp/,
    );
    await expect(settings.change('nobody', { feePpm: 0 }, BY_OPERATOR)).rejects.toThrow(/never mined here/);
    await expect(settings.change('bob', { feePpm: 0 }, { actor: 'x', reason: '' })).rejects.toThrow(
      /needs a reason/,
    );
    expect(await settings.read('bob')).toEqual({
      scheme: null,
      feePpm: null,
      donationPpm: null,
      thresholdSats: null,
    });
    expect(await readAudit(database, 10)).toEqual([]);
  });

  it('leave an audit log that cannot be rewritten', async () => {
    await settings.change('bob', { feePpm: 0 }, BY_OPERATOR);
    await expect(database`delete from audit_log`).rejects.toThrow(/append-only/);
    await expect(database`update audit_log set actor = 'nobody'`).rejects.toThrow(/append-only/);
    await expect(database`truncate audit_log`).rejects.toThrow(/append-only/);
  });
});

describe('the operator’s money', () => {
  const deposit = (key: string, sats: bigint) => ({ key, sats, actor: 'operator', reason: 'start of PPS' });

  it('comes into the books once for each key, however often and at once it is asked', async () => {
    const results = await Promise.all([1, 2, 3].map(() => reserve.depositCapital(deposit('a', 700n))));
    expect(results.toSorted()).toEqual(['already', 'already', 'deposited']);
    expect(await reserve.fundReserve(deposit('a', 500n), 'capital')).toBe('deposited');
    expect(await reserve.fundReserve(deposit('a', 500n), 'capital')).toBe('already');
    expect(await reserve.balances()).toMatchObject({ reserveSats: 500n, capitalSats: 200n });
    expect((await ledger.totals()).balances.wallet).toBe(-700n);
    expect((await readAudit(database, 10, 'reserve')).map(({ action }) => action)).toEqual([
      'fund_reserve',
      'deposit_capital',
    ]);
    await expect(reserve.depositCapital(deposit('a', 701n))).rejects.toThrow(/was used for 700 satoshis/);
  });

  it('fills the reserve with no more than is there', async () => {
    await reserve.depositCapital(deposit('a', 100n));
    const both = await Promise.allSettled(
      ['b', 'c'].map((key) => reserve.fundReserve(deposit(key, 60n), 'capital')),
    );
    expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await expect(reserve.fundReserve(deposit('d', 60n), 'capital')).rejects.toThrow(/which holds 40/);
    await expect(reserve.fundReserve(deposit('e', 1n), 'pool_fee')).rejects.toThrow(/which holds 0/);
  });
});
