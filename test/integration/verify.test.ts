// The verification finds what is wrong, and only that: a pool with five schemes over three lanes is equal to the satoshi;
// then one thing is changed by hand, and exactly the credit and the account are named.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { coinbaseOutputs, transactionOutputs } from '../../engine/accounting/coinbase-outputs.js';
import { SCHEMES } from '../../engine/accounting/schemes.js';
import { scriptFromAddress } from '../../engine/bitcoin/address.js';
import { bytesToHex, displayHash } from '../../engine/bitcoin/hex.js';
import { serializeTransaction, txid } from '../../engine/bitcoin/transaction.js';
import { chosenAround } from '../../engine/verify/account-records.js';
import { NightlyVerification, type VerificationResult } from '../../engine/verify/nightly.js';
import { ShortSlices } from '../../engine/verify/short-slices.js';
import { CoinbasePlanStore } from '../../storage/postgres/coinbase-plans.js';
import { PayoutStore } from '../../storage/postgres/payout-store.js';
import { projectRoot } from '../../storage/project-root.js';
import { TEST_NETWORK_TARGET, TEST_TARGET } from '../fixtures/journal-batch.js';
import { FEE_PPM, startVerifyServers, type VerifyPool, type VerifyServers } from './verify-world.js';

const ADDRESS = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
const MINERS = ['alice', 'bob', 'carol', ADDRESS];
const HOUR_MS = 3_600_000;
let servers: VerifyServers;
let pool: VerifyPool;

beforeAll(async () => {
  servers = await startVerifyServers();
}, 120_000);
afterAll(async () => {
  await servers?.stop();
});
beforeEach(async () => {
  pool = await servers.newPool();
  await pool.fund(1_000_000_000_000n);
  await pool.averages.store(
    0,
    Array.from({ length: 144 }, (_, index) => BigInt(index * 9700)),
    'ab'.repeat(32),
  );
});
afterEach(async () => {
  await pool.close();
});

/** Shares of all miners on all lanes, a block at their end. Its hash. */
async function mine(height: number, shares: number, finder = 'pplns'): Promise<string> {
  const hash = take(height, shares, finder);
  await pool.ship();
  expect(await pool.credit(hash, height)).toBe('credited');
  expect(await pool.payExpected()).toMatchObject({ status: 'paid' });
  return hash;
}

function take(height: number, shares: number, finder = 'pplns'): string {
  for (let index = 0; index < shares; index++) {
    pool.take({
      lane: 1 + (index % 3),
      account: MINERS[index % MINERS.length] as string,
      scheme: SCHEMES[(index * 7) % SCHEMES.length] as (typeof SCHEMES)[number],
      target: TEST_TARGET - (BigInt(index) << 228n),
      height,
    });
    if (index % 5 === 4) pool.nowMs += 17_000;
  }
  const scheme = SCHEMES.find((each) => each === finder) ?? 'pplns';
  const hash = pool.take({ lane: 2, account: 'bob', scheme, height, block: true });
  return hash ?? '';
}

const keysOf = async (status: string) =>
  (await pool.verify()).filter((each) => each.status === status).map(({ key }) => key);
const different = async () => (await pool.verify()).filter(({ status }) => status !== 'equal');

describe('verification', () => {
  it('is 0 for blocks and expected pay of five schemes, a SOLO block and a block that came back', async () => {
    await mine(141, 50);
    await pool.settings.change(
      'alice',
      { feePpm: 0, donationPpm: 123_457 },
      { actor: 'operator', reason: 'test' },
    );
    await mine(143, 40, 'solo');
    const back = await mine(145, 60, 'fpps');
    await pool.blocks.orphanBlock(back, 'a reorg');
    await pool.credit(back, 145);
    const verdicts = await pool.verify();
    expect(verdicts.map(({ kind, status, differenceSats }) => [kind, status, differenceSats])).toEqual([
      ['block_credit', 'equal', 0n],
      ['expected_pay', 'equal', 0n],
      ['block_credit', 'equal', 0n],
      ['expected_pay', 'equal', 0n],
      ['block_credit', 'equal', 0n],
      ['expected_pay', 'equal', 0n],
      ['block_credit', 'equal', 0n],
    ]);
    expect(verdicts[0]).toMatchObject({ accounts: 4, sats: 5_010_000_144n });
  });

  it('is 0 for a block whose coinbase paid miners itself, by the window of its plan', async () => {
    await mine(141, 40);
    const poolScript = scriptFromAddress(ADDRESS, 'regtest');
    const plans = new CoinbasePlanStore(pool.database, {
      ...{ network: 'regtest' as const, poolScript, feePpm: (scheme) => FEE_PPM[scheme], windowPermille: 1 },
      ...{ minimumSats: 1n, baseBytes: 100, baseOutputs: 2, coinbaseBytesMax: 500 },
    });
    const { subsidySats, feesSats } = pool.terms(142);
    const next = { height: 142, previousBlock: 'cd'.repeat(32), networkTarget: TEST_NETWORK_TARGET };
    const stored = await plans.make({ ...next, subsidySats, feesSats });
    if (stored === null) throw new Error('nobody would be paid straight');
    pool.plan = stored.id;
    // Work after the plan was made is not in its window.
    const hash = take(142, 30);
    const { plan } = stored;
    const coinbase = transactionOutputs(plan, coinbaseOutputs(plan, subsidySats, feesSats));
    await pool.ship();
    expect(await pool.blocks.creditBlock(hash, { ...pool.terms(142), coinbase })).toBe('credited');
    const [paid] = await pool.database`select amount_sats from coinbase_payments where block_hash = ${hash}`;
    expect(paid).toBeDefined();
    expect((await pool.verify()).map(({ status, inputs }) => [status, inputs])).toEqual([
      ['equal', []],
      ['equal', []],
      ['equal', []],
    ]);
    await pool.tamper(
      `update coinbase_payments set amount_sats = amount_sats - 2 where block_hash = '${hash}'`,
    );
    expect(await different()).toMatchObject([{ key: `credit:${hash}:1`, differenceSats: 4n }]);
  });

  it('names the line that was changed in the ledger', async () => {
    const first = await mine(141, 40);
    await mine(142, 40);
    await pool.tamper(`
      update ledger_lines l set amount_sats = amount_sats + case a.kind when 'miner_immature' then 5 else -5 end
      from ledger_accounts a left join accounts m on m.id = a.account_id, ledger_transactions t
      where a.id = l.ledger_account_id and t.id = l.transaction_id and t.idempotency_key = 'credit:${first}:1'
        and (m.name = 'carol' or a.kind = 'coinbase_immature')`);
    const [only, ...others] = await different();
    expect(others).toEqual([]);
    expect(only).toMatchObject({
      key: `credit:${first}:1`,
      status: 'different',
      differenceSats: 10n,
      inputs: [],
    });
    expect(only?.lines.map(({ kind, account }) => [kind, account])).toEqual(
      expect.arrayContaining([
        ['miner_immature', 'carol'],
        ['coinbase_immature', null],
      ]),
    );
    const [carol] = only?.lines.filter(({ account }) => account === 'carol') ?? [];
    expect((carol?.ledgerSats ?? 0n) - (carol?.recomputedSats ?? 0n)).toBe(5n);
  });

  it('names the account whose raw share was deleted, in the window and in expected pay', async () => {
    const first = await mine(141, 40);
    await mine(142, 90);
    // Of the first block: PPS of carol. The second window, of 65 shares, begins after it.
    const [row] = await pool.clickhouse.rows<{ node: number; seq: string }>(
      "SELECT node, seq FROM shares WHERE account = 'carol' AND scheme = 'pps' AND height = 141 ORDER BY ts, seq LIMIT 1 OFFSET 1",
    );
    await pool.spoil(`DELETE FROM submits WHERE node = ${row?.node} AND seq = ${row?.seq}`);
    const found = await different();
    expect(found.map(({ key }) => key.slice(0, 8))).toEqual(['credit:0', 'expected']);
    expect(found[0]?.key).toBe(`credit:${first}:1`);
    for (const { inputs, differenceSats } of found) {
      expect(inputs[0]).toMatchObject({ account: 'carol', what: expect.stringContaining('under pps') });
      expect(differenceSats).toBeGreaterThan(0n);
    }
    const booked = found[0]?.inputs.filter(({ what }) => what.startsWith('hashes booked')) ?? [];
    expect(booked.map(({ account }) => account)).toEqual(['carol']);
    const paid = found[1]?.lines.filter(({ kind }) => kind === 'miner_confirmed') ?? [];
    expect(paid.map(({ account, cause }) => [account, cause?.account])).toEqual([['carol', 'carol']]);
  });

  it('names the account whose raw share has another target', async () => {
    const first = await mine(141, 40);
    const [row] = await pool.clickhouse.rows<{ node: number; seq: string }>(
      "SELECT node, seq FROM shares WHERE account = 'alice' AND scheme = 'pplns' ORDER BY ts, seq LIMIT 1",
    );
    await pool.spoil(
      `ALTER TABLE submits UPDATE work = work + 50000 WHERE node = ${row?.node} AND seq = ${row?.seq}`,
    );
    const [only, ...others] = await different();
    expect(others).toEqual([]);
    expect(only?.key).toBe(`credit:${first}:1`);
    expect(only?.inputs[0]).toMatchObject({ account: 'alice', what: 'hashes booked under pplns' });
    const alice = only?.lines.find(({ account }) => account === 'alice');
    expect(alice?.recomputedSats).toBeGreaterThan(alice?.ledgerSats ?? 0n);
  });

  it('names the average fees when they are not those of the stored blocks', async () => {
    await mine(143, 20);
    await mine(145, 20);
    await pool.tamper(`update fee_averages set
      total_fees_sats = total_fees_sats + 144000, average_fees_sats = average_fees_sats + 1000`);
    const [only, ...others] = await different();
    expect(others).toEqual([]);
    expect(only?.key).toMatch(/^expected:\d:fpps:145:/);
    expect(only?.inputs.map(({ what }) => what)).toContain('average fees of epoch 0');
  });

  it('recomputes with the fees that an epoch really had', async () => {
    await mine(143, 20);
    await mine(145, 40);
    await pool.tamper('update fee_averages set block_fees_sats[144] = block_fees_sats[144] + 14400000000');
    const [only] = await different();
    expect(only?.key).toMatch(/^expected:\d:fpps:145:/);
    expect(only?.inputs[0]).toMatchObject({ what: 'total fees of epoch 0' });
    expect(only?.differenceSats).toBeGreaterThan(0n);
  });

  it('finds terms that the account never chose, and carries that no credit left', async () => {
    await mine(141, 40);
    await mine(142, 40);
    await pool.tamper("update accounts set donation_ppm = 500000 where name = 'carol'");
    const donation = (await different()).flatMap(({ inputs }) => inputs);
    expect(donation[0]).toMatchObject({ what: 'donation, ppm', ledger: '0', recomputed: '500000' });
    expect(new Set(donation.map(({ account }) => account))).toEqual(new Set(['carol']));
    await pool.tamper("update accounts set donation_ppm = null where name = 'carol'");
    const [second] = (await pool.credits()).filter(({ kind }) => kind === 'expected_pay').slice(1);
    const [bob] = await pool.database<{ id: number }[]>`select id from accounts where name = 'bob'`;
    await pool.tamper(`
      update ledger_transactions set inputs = jsonb_set(inputs, '{carriedIn,${bob?.id},minerQ64}', '"7"')
      where id = ${second?.id}`);
    const [only, ...others] = await different();
    expect(others).toEqual([]);
    expect(only).toMatchObject({ key: second?.key, differenceSats: 0n });
    expect(only?.inputs).toMatchObject([{ account: 'bob', ledger: '7' }]);
  });

  it('calls a credit incomplete whose shares are gone or have not come, not different', async () => {
    const first = await mine(141, 40);
    pool.nowMs += 24 * HOUR_MS;
    await mine(142, 90);
    await pool.clickhouse.command('ALTER TABLE submits DROP PARTITION 20261121');
    const gone = (await pool.verify()).filter(({ status }) => status !== 'equal');
    expect(gone.map(({ key, status }) => [key.slice(0, 14), status])).toEqual([
      [`credit:${first}:1`.slice(0, 14), 'incomplete'],
      [expect.stringMatching(/^expected/), 'incomplete'],
    ]);
    expect(gone[0]?.reason).toContain('no longer has shares of node');
    await pool.spoil('DELETE FROM submits WHERE node = 3 AND seq > 35');
    const behind = (await pool.verify()).at(-1);
    expect(behind).toMatchObject({
      status: 'incomplete',
      reason: expect.stringContaining('has come to share 35'),
    });
    expect(await keysOf('different')).toEqual([]);
  });
});

describe('what an account had chosen', () => {
  it('is what it is now, less the changes since', async () => {
    await mine(141, 20);
    const authority = { actor: 'operator', reason: 'test' };
    await pool.settings.change('bob', { feePpm: 7, scheme: 'pps' }, authority);
    await pool.settings.change('bob', { feePpm: 9 }, authority);
    const [bob] = await pool.database<{ id: number }[]>`select id from accounts where name = 'bob'`;
    const at = async (ms: number) => {
      const chosen = await chosenAround(pool.database, [bob?.id ?? 0], new Date(ms), new ShortSlices());
      const { feePpm, donationPpm, scheme } = chosen.get(bob?.id ?? 0) ?? {};
      return [feePpm, donationPpm, scheme].map((values) => [...(values ?? [])]);
    };
    expect(await at(Date.now() - 3 * 60_000)).toEqual([[null], [null], [null]]);
    expect(await at(Date.now())).toEqual([[null, 7, 9], [null], [null, 'pps']]);
    expect(await at(Date.now() + 3 * 60_000)).toEqual([[9], [null], ['pps']]);
  });
});

describe('millrace verify', () => {
  function millrace(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const module = join(projectRoot(), 'dist', 'engine', 'cli', 'verify.js');
    const script = `import(${JSON.stringify(module)}).then(({ verify }) => verify(${JSON.stringify(args)})).then((code) => { process.exitCode = code; })`;
    const shares = new URL(pool.shares.url);
    shares.username = pool.shares.user ?? '';
    shares.password = pool.shares.password ?? '';
    shares.pathname = `/${pool.shares.database}`;
    const env = {
      ...process.env,
      DATA_DIR: servers.folder,
      DATABASE_URL: pool.postgresUrl,
      CLICKHOUSE_URL: shares.href,
      NETWORK: 'regtest',
    };
    return new Promise((resolve) => {
      execFile(process.execPath, ['-e', script], { cwd: servers.folder, env }, (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code), out, err }),
      );
    });
  }

  it('prints a table that ends with 0, a difference with both numbers, and what is missing', async () => {
    const first = await mine(141, 40);
    await mine(142, 40);
    const all = await millrace('--all');
    expect(all.err).toBe('');
    expect(all.out).toMatch(/^credit +posted +accounts +satoshis +difference\n/);
    expect(all.out).toContain('4 credits verified: 4 equal to the satoshi\n');
    expect(all.out).toContain(
      'all lines sum to 0 sat; 0 balances differ from their lines; 0 confirmed payouts',
    );
    expect(all.code).toBe(0);
    expect((await millrace('--block', '141')).out).toContain('1 credits verified: 1 equal');
    const today = new Date().toISOString().slice(0, 10);
    const day = JSON.parse((await millrace('--day', today, '--json')).out) as Record<string, unknown>;
    expect(day).toMatchObject({
      total: { credits: 4, equal: 4, differenceSats: '0' },
      books: { sumSats: '0' },
    });

    await pool.tamper(`
      update ledger_lines l set amount_sats = amount_sats + 5 from ledger_accounts a, accounts m
      where a.id = l.ledger_account_id and m.id = a.account_id and m.name = 'carol' and a.kind = 'miner_immature'
        and l.transaction_id = (select id from ledger_transactions where idempotency_key = 'credit:${first}:1')`);
    const changed = await millrace('--credit', `credit:${first}:1`);
    expect(changed.code).toBe(1);
    expect(changed.out).toMatch(/miner_immature of carol: \d+ sat in the ledger, \d+ recomputed/);
    expect((await millrace('--all', '--rows', '1')).out).toMatch(/all lines sum to 5 sat; 1 balances differ/);

    await pool.clickhouse.command('TRUNCATE TABLE submits');
    const gone = await millrace('--block', '142');
    expect({ code: gone.code, incomplete: /incomplete\n {2}ClickHouse/.test(gone.out) }).toEqual({
      code: 3,
      incomplete: true,
    });
  });

  it('ends with 2 when nothing or nonsense is asked for, and helps', async () => {
    for (const args of [
      [],
      ['--all', '--day', '2026-01-01'],
      ['--day', '2026-13-01'],
      ['--block', 'x'],
      ['--rows', '0', '--all'],
    ]) {
      expect((await millrace(...args)).code, args.join(' ')).toBe(2);
    }
    expect((await millrace('--credit', 'nobody')).code).toBe(2);
    expect((await millrace('--block', '7')).code).toBe(2);
    expect(await millrace('--help')).toMatchObject({ code: 0, out: expect.stringContaining('--credit KEY') });
  });

  it('checks that confirmed payouts took what their transactions sent', async () => {
    await mine(141, 90);
    const payouts = new PayoutStore(pool.database);
    const planned = await payouts.planPayout({ requestKey: 'p1', thresholdSats: 1n, outputsMax: 10 });
    const [output] = planned?.outputs ?? [];
    const transaction = {
      version: 2,
      inputs: [
        {
          previousTxid: new Uint8Array(32).fill(1),
          previousIndex: 0,
          scriptSig: new Uint8Array(),
          sequence: 0xfffffffd,
          witness: [],
        },
      ],
      outputs: [{ sats: output?.sentSats ?? 0n, script: scriptFromAddress(ADDRESS, 'regtest') }],
      lockTime: 0,
    };
    const id = planned?.id ?? 0n;
    await payouts.storeSigned(id, {
      txid: displayHash(txid(transaction)),
      rawTransaction: bytesToHex(serializeTransaction(transaction)),
      networkFeeSats: 141n,
    });
    await payouts.markBroadcast(id);
    await payouts.markConfirmed(id);
    const good = await millrace('--all');
    expect(good.out).toContain('1 confirmed payouts, each took what it sent and cost');
    expect(good.code).toBe(0);
    await pool.tamper(`update payout_outputs set sent_sats = sent_sats - 1 where payout_id = ${id}`);
    const bad = await millrace('--all');
    expect(bad.code).toBe(1);
    expect(bad.out).toContain(
      `its transaction has no output of ${(output?.sentSats ?? 0n) - 1n} sat to ${ADDRESS}`,
    );
  });
});

describe('the nightly verification', () => {
  let nowMs: number;
  let results: VerificationResult[];

  const nightly = () =>
    new NightlyVerification({
      ...{ database: pool.database, clickhouse: pool.clickhouse, network: 'regtest' as const },
      ...{ defaultScheme: 'pplns' as const, coinbaseSats: async () => null },
      nowMs: () => nowMs,
      onResult: (result) => results.push(result),
    });
  const finish = async (verification: NightlyVerification) => {
    do await verification.step();
    while (verification.figures.running);
  };

  beforeEach(() => {
    nowMs = Date.UTC(2026, 10, 21, 12);
    results = [];
  });

  it('runs two minutes after the first start, then once a UTC day over what is new', async () => {
    await mine(141, 30);
    const verification = nightly();
    await verification.step();
    expect(verification.figures).toMatchObject({ lastAt: null, credits: 0, running: false });
    nowMs += 2 * 60_000;
    await finish(verification);
    expect(results).toMatchObject([{ credits: 2, found: [], open: { differenceSats: 0n, different: 0 } }]);
    expect(verification.figures).toMatchObject({ credits: 2, differenceSats: 0n, incomplete: 0 });
    expect(verification.figures.lastAt?.getTime()).toBe(nowMs);
    await mine(142, 30);
    nowMs += 11 * HOUR_MS;
    await verification.step();
    expect(results).toHaveLength(1);
    nowMs += HOUR_MS + 300_000;
    await finish(verification);
    expect(results.map(({ credits }) => credits)).toEqual([2, 2]);
  });

  it('goes on after a restart where it was, and verifies again what was not equal', async () => {
    const first = await mine(141, 30);
    await mine(142, 30);
    await pool.tamper(`
      update ledger_lines l set amount_sats = amount_sats + 3 from ledger_accounts a
      where a.id = l.ledger_account_id and a.kind = 'remainder_immature'
        and l.transaction_id = (select id from ledger_transactions where idempotency_key = 'credit:${first}:1')`);
    const broken = nightly();
    nowMs += 2 * 60_000;
    await finish(broken);
    expect(broken.figures).toMatchObject({ credits: 4, differenceSats: 3n, different: 1, incomplete: 0 });
    expect(results[0]?.found.map(({ key }) => key)).toEqual([`credit:${first}:1`]);

    // As if it had been killed after the first credit.
    await pool.database`update verification_runs set ended_at = null, credits = 1,
      last_transaction_id = (select min(id) from ledger_transactions where kind = 'block_credit')`;
    const again = nightly();
    await finish(again);
    expect(results[1]?.credits).toBe(4);

    await pool.tamper(`
      update ledger_lines l set amount_sats = amount_sats - 3 from ledger_accounts a
      where a.id = l.ledger_account_id and a.kind = 'remainder_immature'
        and l.transaction_id = (select id from ledger_transactions where idempotency_key = 'credit:${first}:1')`);
    nowMs += 24 * HOUR_MS;
    await finish(again);
    expect(again.figures).toMatchObject({ credits: 1, differenceSats: 0n, different: 0 });
    const findings = await pool.database`select key, status from verification_findings`;
    expect(findings).toMatchObject([{ key: `credit:${first}:1`, status: 'equal' }]);
  });
});
