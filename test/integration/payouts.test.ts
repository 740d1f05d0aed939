// Payouts on a regtest node and a real Postgres: batches, requests, limits, quarantine, replacements, sweeps.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { acceptSignatures } from '../../engine/payouts/collect-signatures.js';
import { FEE_POLICY } from '../../engine/payouts/fee-policy.js';
import { spentOutpoints } from '../../engine/payouts/multisig-psbt.js';
import { NodeWallet } from '../../engine/payouts/node-wallet.js';
import { NodePayoutChain } from '../../engine/payouts/payout-chain.js';
import { type PayoutEvent, type PayoutNotice, PayoutRunner } from '../../engine/payouts/payout-runner.js';
import type { PayoutTerms } from '../../engine/payouts/payout-terms.js';
import { WalletSweeper } from '../../engine/payouts/wallet-sweep.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { PayoutStore } from '../../storage/postgres/payout-store.js';
import { SweepStore } from '../../storage/postgres/sweep-store.js';
import { booksBalance, credit, type PayoutWorld, startPayoutWorld } from './payout-world.js';

const MINIMUM = 100_000n;

let world: PayoutWorld;
let database: Database;
let store: PayoutStore;
let wallet: NodeWallet;
let events: PayoutEvent[];
let notices: PayoutNotice[];

beforeAll(async () => {
  world = await startPayoutWorld();
}, 300_000);
afterAll(async () => {
  await world?.stop();
});

beforeEach(async () => {
  database = openPostgres({ url: await world.newDatabase(), poolSize: 8, timeoutS: 10 });
  store = new PayoutStore(database);
  wallet = new NodeWallet(world.rpc, world.poolWallet);
  events = [];
  notices = [];
  return async () => {
    await booksBalance(database);
    await database.end({ timeout: 1 });
    await world.mine();
  };
});

const chain = () => new NodePayoutChain(world.rpc, 'regtest');
let slots = 0;

function runnerOf(
  terms: Partial<PayoutTerms> = {},
  options: Partial<ConstructorParameters<typeof PayoutRunner>[0]> = {},
): PayoutRunner {
  return new PayoutRunner({
    store,
    wallet,
    chain: chain(),
    thresholdSats: 1_000_000n,
    terms: { minimumSats: MINIMUM, ...terms },
    everyMs: 1,
    confirmationsNeeded: 1,
    onEvent: (event) => events.push(event),
    onNotice: (notice) => notices.push(notice),
    nowMs: () => Date.now() + slots++,
    ...options,
  });
}

const newAddress = () => world.payees.getNewAddress('bech32');
const paid = (address: string) => world.received(address);
const balanceOf = async (id: number) =>
  (
    await database<{ confirmed: bigint; flying: bigint }[]>`
      select confirmed_sats as confirmed, in_flight_sats as flying from account_balances where account_id = ${id}`
  )[0];

describe('a batch', () => {
  it('of 500 is one transaction, and each is paid to the satoshi', { timeout: 120_000 }, async () => {
    const addresses = await Promise.all(Array.from({ length: 500 }, newAddress));
    await Promise.all(
      addresses.map((address, index) => credit(database, address, 1_000_000n + BigInt(index))),
    );
    const runner = runnerOf();
    await runner.step();
    const [payout] = await store.openPayouts();
    expect(payout).toMatchObject({ status: 'broadcast' });
    expect(payout?.outputs).toHaveLength(500);
    await world.mine();
    await runner.step();
    expect((await store.payout(payout?.id ?? 0n)).status).toBe('confirmed');
    const received = await world.call<{ address: string; amount: number; txids: string[] }[]>(
      'listreceivedbyaddress',
      [1],
      'payees',
    );
    const arrived = new Map(received.map(({ address, amount, txids }) => [address, { amount, txids }]));
    for (const [index, address] of addresses.entries()) {
      expect(arrived.get(address)).toEqual({ amount: (1_000_000 + index) / 1e8, txids: [payout?.txid] });
    }
    expect(events.map(({ type }) => type)).toEqual(['payout_signed', 'payout_broadcast', 'payout_confirmed']);
  });

  it('is cut by weight and number of outputs, and all parts go out at once', async () => {
    const addresses = await Promise.all(Array.from({ length: 7 }, newAddress));
    for (const address of addresses) await credit(database, address, 2_000_000n);
    // Three outputs of 31 bytes are 372 weight units.
    await runnerOf({ weightMax: 400 }).step();
    expect((await store.openPayouts()).map(({ outputs }) => outputs.length)).toEqual([3, 3, 1]);
    await world.mine();
    for (const address of addresses) expect(await paid(address)).toEqual({ sats: 2_000_000n, payments: 1 });
  });

  it('carries what is below the threshold forward, and pays it when it has grown', async () => {
    const address = await newAddress();
    const id = await credit(database, address, 999_999n);
    const runner = runnerOf();
    await runner.step();
    expect(await store.openPayouts()).toEqual([]);
    expect(await balanceOf(id)).toEqual({ confirmed: 999_999n, flying: 0n });
    await credit(database, address, 1n);
    await runner.step();
    await world.mine();
    expect(await paid(address)).toEqual({ sats: 1_000_000n, payments: 1 });
  });

  it('pays an account at all of its addresses, and an address of two accounts once', async () => {
    const [own, half, other] = [await newAddress(), await newAddress(), await newAddress()];
    const id = await credit(database, own, 5_000_001n);
    await credit(database, other, 2_000_000n);
    await database.begin(async (tx) => {
      const [change] = await tx<{ id: bigint }[]>`
        insert into payout_address_changes (account_id, nonce, network, message, expires_at)
        values (${id}, ${'ab'.repeat(16)}, 'regtest', 'split', now() + interval '1 day') returning id`;
      await tx`
        insert into payout_address_targets (change_id, position, address, share_ppm)
        values (${change?.id ?? 0n}, 0, ${half}, 600000), (${change?.id ?? 0n}, 1, ${other}, 400000)`;
      await tx`
        update payout_address_changes set status = 'accepted', accepted_at = now(), effective_at = now()
        where id = ${change?.id ?? 0n}`;
    });
    const runner = runnerOf();
    await runner.step();
    await world.mine();
    await runner.step();
    expect(await paid(own)).toEqual({ sats: 0n, payments: 0 });
    expect(await paid(half)).toEqual({ sats: 3_000_001n, payments: 1 });
    expect(await paid(other)).toEqual({ sats: 2_000_000n + 2_000_000n, payments: 1 });
    expect(await balanceOf(id)).toEqual({ confirmed: 0n, flying: 0n });
  });

  it('leaves out who is paid on demand, and pays the daily ones once a day', async () => {
    const [demand, daily] = [await newAddress(), await newAddress()];
    await credit(database, demand, 5_000_000n);
    await credit(database, daily, 5_000_000n);
    await database`update accounts set payout_schedule = 'on_demand' where name = ${demand}`;
    await database`update accounts set payout_schedule = 'daily' where name = ${daily}`;
    const runner = runnerOf();
    await runner.step();
    expect(
      (await store.openPayouts()).flatMap(({ outputs }) => outputs.map(({ account }) => account)),
    ).toEqual([daily]);
    await credit(database, daily, 5_000_000n);
    await runner.step();
    expect(await store.openPayouts()).toHaveLength(1);
  });

  it('charges the network fee to the payees by weight, exactly, when they bear it', async () => {
    const addresses = [await newAddress(), await world.payees.getNewAddress('bech32m'), await newAddress()];
    for (const address of addresses) await credit(database, address, 3_000_000n);
    const runner = runnerOf({ fees: { ...FEE_POLICY, floorSatPerVb: 7, paidBy: 'payees' } });
    await runner.step();
    const [payout] = await store.openPayouts();
    const charged = payout?.outputs.reduce(
      (sum, { amountSats, sentSats }) => sum + amountSats - sentSats,
      0n,
    );
    expect(charged).toBe(payout?.networkFeeSats);
    expect(charged).toBeGreaterThan(0n);
    const of = (address: string) =>
      payout?.outputs.find((output) => output.address === address)?.sentSats ?? 0n;
    // A taproot output weighs 12 bytes more than a P2WPKH one.
    expect(of(addresses[1] ?? '')).toBeLessThan(of(addresses[0] ?? ''));
    await world.mine();
    await runner.step();
    expect((await booksBalance(database)).network_fees ?? 0n).toBe(0n);
    for (const address of addresses) expect((await paid(address)).sats).toBe(of(address));
  });
});

describe('50 requests at once', () => {
  it('with 50 keys pay at most the balance', { timeout: 60_000 }, async () => {
    const address = await newAddress();
    const id = await credit(database, address, 1_000_000n);
    const runner = runnerOf({}, { thresholdSats: 10n ** 15n });
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, key) => runner.requestPayout(address, 150_000n, `k${key}`)),
    );
    expect(answers.filter(({ kind }) => kind === 'planned')).toHaveLength(6);
    await runner.step();
    await world.mine();
    await runner.step();
    expect(await paid(address)).toEqual({ sats: 900_000n, payments: 6 });
    expect(await balanceOf(id)).toEqual({ confirmed: 100_000n, flying: 0n });
  });

  it('with one key are one payout of all that is free', async () => {
    const address = await newAddress();
    await credit(database, address, 1_000_000n);
    const runner = runnerOf({}, { thresholdSats: 10n ** 15n });
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => runner.requestPayout(address, null, 'mine')),
    );
    const ids = answers.map((answer) => (answer.kind === 'planned' ? answer.payoutId : null));
    expect(new Set(ids).size).toBe(1);
    await runner.step();
    await world.mine();
    expect(await paid(address)).toEqual({ sats: 1_000_000n, payments: 1 });
    expect(await runner.requestPayout(address, null, 'next')).toMatchObject({ kind: 'refused' });
    expect(await runner.requestPayout('nobody', null, 'x')).toMatchObject({ kind: 'refused' });
  });
});

describe('an address that cannot be paid', () => {
  it('is found by our decoder and the node, kept out and shown; the others are paid', async () => {
    const good = await newAddress();
    await credit(database, good, 1_000_000n);
    const bad = 'bcrt1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq'.replace('q5', 'p5').slice(0, -1);
    const badId = await credit(database, bad, 2_000_000n);
    const runner = runnerOf();
    await runner.step();
    await world.mine();
    expect(await paid(good)).toEqual({ sats: 1_000_000n, payments: 1 });
    expect(await balanceOf(badId)).toEqual({ confirmed: 2_000_000n, flying: 0n });
    const [shown] = await store.people.quarantined();
    expect(shown).toMatchObject({ account: bad, address: bad });
    expect(shown?.reason).toMatch(/checksum/);
    expect(shown?.cure).toMatch(/valid address/);
    expect(notices).toMatchObject([{ type: 'payout_quarantined', account: bad }]);
    expect(await runner.requestPayout(bad, null, 'k')).toMatchObject({ kind: 'refused' });
    await expect(store.people.liftQuarantine(bad, bad, '  ', 'x')).rejects.toThrow(/name/);
    expect(await store.people.liftQuarantine(bad, bad, 'Ann', 'address corrected')).toBe(true);
    expect(await store.people.quarantined()).toEqual([]);
  });

  it('one among 40 that only the wallet refuses is found by halving', { timeout: 60_000 }, async () => {
    const good = await Promise.all(Array.from({ length: 39 }, newAddress));
    for (const address of good) await credit(database, address, 1_000_000n);
    const bad = '1BoatSLRHtKNngkdXEeobR76b53LETtpyT';
    await credit(database, bad, 1_500_000n);
    // Nobody notices before the wallet does.
    const blind = Object.assign(chain(), { addressFault: async () => null });
    await runnerOf({}, { chain: blind }).step();
    expect((await store.people.quarantined()).map(({ address }) => address)).toEqual([bad]);
    const open = await store.openPayouts();
    expect(open).toHaveLength(1);
    expect(open[0]?.outputs).toHaveLength(39);
    await world.mine();
    for (const address of good) expect(await paid(address)).toEqual({ sats: 1_000_000n, payments: 1 });
  });
});

describe('a replacement with a higher fee', () => {
  const bumping = { fees: { ...FEE_POLICY, bumpAfterBlocks: 2 } };

  async function bumped() {
    const addresses = [await newAddress(), await newAddress()];
    for (const address of addresses) await credit(database, address, 4_000_000n);
    const runner = runnerOf(bumping);
    await runner.step();
    const [first] = await store.openPayouts();
    await world.mine('nothing');
    await runner.step();
    expect((await store.payout(first?.id ?? 0n)).versions).toHaveLength(1);
    await world.mine('nothing');
    await runner.step();
    const payout = await store.payout(first?.id ?? 0n);
    expect(payout.versions).toHaveLength(2);
    const [old, newer] = payout.versions;
    if (old === undefined || newer === undefined) throw new Error('no two versions');
    expect(newer.networkFeeSats).toBeGreaterThan(old.networkFeeSats);
    expect(await world.call('getrawmempool')).toEqual([newer.txid]);
    expect(notices.at(-1)).toMatchObject({ type: 'payout_bumped', replaced: old.txid });
    return { addresses, runner, payout, old, newer };
  }

  async function settledBy(txid: string, feeSats: bigint, world_: Awaited<ReturnType<typeof bumped>>) {
    await world_.runner.step();
    const payout = await store.payout(world_.payout.id);
    expect(payout).toMatchObject({ status: 'confirmed', txid, networkFeeSats: feeSats });
    const { network_fees, miner_in_flight } = await booksBalance(database);
    expect(network_fees).toBe(-feeSats);
    expect(miner_in_flight).toBe(0n);
    for (const address of world_.addresses) {
      expect(await paid(address)).toEqual({ sats: 4_000_000n, payments: 1 });
    }
  }

  it('keeps the payees, and settles with its fee', async () => {
    const after = await bumped();
    await world.mine();
    await settledBy(after.newer.txid, after.newer.networkFeeSats, after);
  });

  it('may lose against the old version, which then settles with the old fee', async () => {
    const after = await bumped();
    await world.call('generateblock', [
      await world.poolWallet.getNewAddress('bech32'),
      [after.old.rawTransaction],
    ]);
    await world.call('syncwithvalidationinterfacequeue');
    await settledBy(after.old.txid, after.old.networkFeeSats, after);
  });
});

describe('limits', () => {
  it('let no more than the daily cap out, and pay the rest when there is room', async () => {
    const addresses = [await newAddress(), await newAddress()];
    for (const address of addresses) await credit(database, address, 3_000_000n);
    const runner = runnerOf({ dailyCapSats: 4_000_000n });
    await runner.step();
    await world.mine();
    await runner.step();
    await world.mine();
    const sums = await Promise.all(addresses.map(async (address) => (await paid(address)).sats));
    expect(sums.reduce((sum, sats) => sum + sats, 0n)).toBe(4_000_000n);
    const other = await newAddress();
    await credit(database, other, 500_000n);
    expect(await runner.requestPayout(other, null, 'k')).toMatchObject({ kind: 'refused' });
    const later = runnerOf({ dailyCapSats: 7_000_000n });
    await later.step();
    await world.mine();
    for (const address of addresses) expect((await paid(address)).sats).toBe(3_000_000n);
  });

  it('hold a planned payout at reservation too: it waits and is not dropped', async () => {
    const address = await newAddress();
    await credit(database, address, 3_000_000n);
    await store.requestPayout({
      account: address,
      amountSats: null,
      key: 'k',
      minimumSats: 1n,
      limits: { dailyCapSats: null, approvalAboveSats: null },
    });
    const capped = runnerOf({ dailyCapSats: 1_000_000n });
    for (let step = 0; step < 70; step++) await capped.step();
    expect(await store.openPayouts()).toMatchObject([{ status: 'planned' }]);
    expect(events).toMatchObject([{ type: 'payout_waiting' }]);
    expect(await world.call('listlockunspent', [], 'pool')).toEqual([]);
    await runnerOf().step();
    await world.mine();
    expect((await paid(address)).sats).toBe(3_000_000n);
  });

  it('ask two different people for a large one', async () => {
    const [large, small] = [await newAddress(), await newAddress()];
    await credit(database, large, 50_000_000n);
    const runner = runnerOf({ approvalAboveSats: 10_000_000n });
    await runner.step();
    const [payout] = await store.openPayouts();
    const id = payout?.id ?? 0n;
    expect(payout).toMatchObject({ status: 'awaiting_approval', approvalsNeeded: 2, txid: null });
    expect(notices).toMatchObject([{ type: 'payout_needs_approval' }]);
    expect(await store.people.approve(id, 'Ann', 'checked the address')).toEqual({ approvals: 1, needed: 2 });
    expect(await store.people.approve(id, ' ann ', 'again')).toEqual({ approvals: 1, needed: 2 });
    // Others are not held up by it.
    await credit(database, small, 1_000_000n);
    await runner.step();
    expect((await store.openPayouts()).map(({ status }) => status)).toEqual([
      'awaiting_approval',
      'broadcast',
    ]);
    const SIGNED = { txid: 'ab'.repeat(32), rawTransaction: '00', networkFeeSats: 1n };
    await expect(store.storeSigned(id, SIGNED)).rejects.toThrow(/approval of 2 people/);
    expect(await store.people.approve(id, 'Bob', 'large but right')).toEqual({ approvals: 2, needed: 2 });
    await runner.step();
    await world.mine();
    expect(await paid(large)).toEqual({ sats: 50_000_000n, payments: 1 });
    const log = await database`select actor from audit_log where action = 'payout_approve' order by id`;
    expect(log).toMatchObject([{ actor: 'ann' }, { actor: 'bob' }]);
    await expect(database`delete from payout_approvals`).rejects.toThrow(/history/);
  });

  it('wait while the network is dear, and go on by themselves', async () => {
    const address = await newAddress();
    await credit(database, address, 1_000_000n);
    let feeRate = 500;
    const dear = Object.assign(chain(), { feeRate: async () => feeRate });
    const runner = runnerOf({}, { chain: dear });
    for (let step = 0; step < 65; step++) await runner.step();
    expect(await store.openPayouts()).toMatchObject([{ status: 'planned' }]);
    expect(events).toMatchObject([{ type: 'payout_waiting', reason: expect.stringContaining('500 sat/vB') }]);
    feeRate = 3;
    await runner.step();
    expect(await store.openPayouts()).toMatchObject([{ status: 'broadcast' }]);
  });
});

describe('signatures collected elsewhere', () => {
  it('are reserved for at once, checked, put together and broadcast', async () => {
    // The hot wallet knows the scripts only; the keys are in another wallet of the same descriptors.
    await world.watch('pool', 'watch');
    const watch = new NodeWallet(world.rpc, world.rpc.wallet('watch'));
    const address = await newAddress();
    const id = await credit(database, address, 2_500_000n);
    const runner = runnerOf({}, { wallet: watch });
    await runner.step();
    const [payout] = await store.openPayouts();
    expect(payout).toMatchObject({ status: 'awaiting_signatures', txid: null });
    expect(await balanceOf(id)).toEqual({ confirmed: 0n, flying: 2_500_000n });
    expect(notices).toMatchObject([{ type: 'payout_needs_signatures' }]);
    const accept = (psbt: string) => acceptSignatures(store, watch, payout?.id ?? 0n, 'Signer 1', psbt);
    await expect(accept('not base64!')).rejects.toThrow(/no PSBT/);
    const other = await wallet.build([{ address: await newAddress(), sats: 100_000n }], {
      feeRateSatPerVb: 1,
    });
    expect(other.state).toBe('signed');
    const strange = await world.poolWallet.walletCreateFundedPsbt([{ address, sats: 10_000n }], {
      feeRateSatPerVb: '1',
      lockUnspents: false,
    });
    await expect(accept(strange.psbt)).rejects.toThrow(/combinepsbt/);
    await wallet.hold([]);
    const signed = await world.poolWallet.walletProcessPsbt(payout?.psbt ?? '');
    await accept(signed.psbt);
    await runner.step();
    await world.mine();
    await runner.step();
    expect(await paid(address)).toEqual({ sats: 2_500_000n, payments: 1 });
    expect(await balanceOf(id)).toEqual({ confirmed: 0n, flying: 0n });
  });
});

describe('coins of a stored transaction', () => {
  it('are chosen by no other payout, also when the node forgot its locks', async () => {
    const [first, second] = [await newAddress(), await newAddress()];
    await credit(database, first, 2_000_000n);
    // The node takes no transaction: the first payout stays signed and unseen.
    const broadcast = wallet.broadcast.bind(wallet);
    wallet.broadcast = async () => {
      throw new Error('the node is busy');
    };
    const runner = runnerOf();
    await runner.step();
    expect(await store.openPayouts()).toMatchObject([{ status: 'signed' }]);
    await world.call('lockunspent', [true], 'pool');
    await credit(database, second, 3_000_000n);
    await runner.step();
    const stored = (await store.openPayouts()).flatMap(({ rawTransaction }) =>
      spentOutpoints(rawTransaction ?? ''),
    );
    expect(new Set(stored).size).toBe(stored.length);
    wallet.broadcast = broadcast;
    await runner.step();
    await world.mine();
    expect(await paid(first)).toEqual({ sats: 2_000_000n, payments: 1 });
    expect(await paid(second)).toEqual({ sats: 3_000_000n, payments: 1 });
  });

  it('are refused to a second transaction by the store, whatever the wallet says', async () => {
    const [first, second] = [await newAddress(), await newAddress()];
    for (const address of [first, second]) await credit(database, address, 2_000_000n);
    const ask = (account: string) =>
      store.requestPayout({
        account,
        amountSats: null,
        key: 'k',
        minimumSats: 1n,
        limits: { dailyCapSats: null, approvalAboveSats: null },
      });
    const ids = [await ask(first), await ask(second)].map((answer) =>
      answer.kind === 'planned' ? answer.payoutId : 0n,
    );
    const coins = [`${'ab'.repeat(32)}:0`];
    const storeAs = (id: bigint | undefined, txid: string) =>
      store.storeBuilt(
        id ?? 0n,
        { state: 'signed', transaction: { txid: txid.repeat(32), rawTransaction: '00', networkFeeSats: 1n } },
        { rail: 'node wallet', coins, sentSats: null, tipHeight: null, dailyCapSats: null },
      );
    expect(await storeAs(ids[0], '01')).toBe('stored');
    await expect(storeAs(ids[1], '02')).rejects.toThrow(/spends coin .* already/);
    expect(await store.payout(ids[1] ?? 0n)).toMatchObject({ status: 'planned', txid: null });
    await store.failPayout(ids[0] ?? 0n, 'its coins are spent elsewhere');
    expect(await storeAs(ids[1], '02')).toBe('stored');
  });

  it('are shared by no two processes that pay at the same time', { timeout: 60_000 }, async () => {
    const addresses = await Promise.all(Array.from({ length: 12 }, newAddress));
    for (const address of addresses) await credit(database, address, 2_000_000n);
    const processes = [1, 2].map(() =>
      runnerOf({ outputsMax: 2 }, { wallet: new NodeWallet(world.rpc, world.poolWallet) }),
    );
    for (let round = 0; round < 12; round++) {
      await Promise.all(processes.map((process) => process.step().catch(() => {})));
      await world.mine();
    }
    for (const address of addresses) expect(await paid(address)).toEqual({ sats: 2_000_000n, payments: 1 });
    expect(await store.openPayouts()).toEqual([]);
  });
});

describe('the hot wallet above its cap', () => {
  it('is swept to the cold address down to its floor, and the books follow', async () => {
    const cold = await newAddress();
    const spendable = await wallet.spendableSats();
    const sweeper = new WalletSweeper({
      store: new SweepStore(database),
      payouts: store,
      wallet,
      coldAddress: cold,
      floorSats: spendable - 700_000_000n,
      capSats: spendable - 1n,
      confirmationsNeeded: 1,
      feeRate: async () => 2,
      onSweep: () => {},
    });
    await sweeper.step();
    await sweeper.step();
    await world.mine();
    await sweeper.step();
    expect(await paid(cold)).toEqual({ sats: 700_000_000n, payments: 1 });
    const [sweep] = await database<{ status: string; fee: bigint }[]>`
      select status, network_fee_sats as fee from wallet_sweeps`;
    expect(sweep?.status).toBe('confirmed');
    expect(await booksBalance(database)).toMatchObject({
      cold_wallet: -700_000_000n,
      network_fees: -(sweep?.fee ?? 0n),
      wallet: 700_000_000n + (sweep?.fee ?? 0n),
    });
  });
});
