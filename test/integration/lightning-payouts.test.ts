// Lightning payouts from end to end: real Postgres, the real clients over HTTP, a network that is a stand-in
// with a book of its own. Every edge is failed once and killed once; each payee is paid exactly once.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LightningClient } from '../../engine/payouts/lightning/client.js';
import { ClnClient } from '../../engine/payouts/lightning/cln-client.js';
import { fetchInvoice } from '../../engine/payouts/lightning/lightning-address.js';
import {
  type LightningEvent,
  LightningRunner,
  type LightningRunnerOptions,
} from '../../engine/payouts/lightning/lightning-runner.js';
import { LndClient } from '../../engine/payouts/lightning/lnd-client.js';
import { startPostgres } from '../../storage/embedded/postgres.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { LedgerStore, postLedger } from '../../storage/postgres/ledger-store.js';
import { LightningPayments } from '../../storage/postgres/lightning-payments.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import { BREAKS, type Break, Edges } from '../fixtures/lightning-edges.js';
import { LightningStandIn, MACAROON, type Route, RUNE } from '../fixtures/lightning-stand-in.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-lightning-'));
let server: Awaited<ReturnType<typeof startPostgres>>;
let database: Database;
let store: LightningPayments;
let network: LightningStandIn;
let domain: string;
let clients: { lnd: LightningClient; cln: LightningClient };
let users = 0;

beforeAll(async () => {
  server = await startPostgres({ dataDir: join(folder, 'postgres'), log: () => {} });
  database = openPostgres({ url: server.url, poolSize: 12, timeoutS: 30 });
  await migratePostgres(database);
  store = new LightningPayments(database);
});

afterAll(async () => {
  await database?.end({ timeout: 1 });
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  network = new LightningStandIn();
  domain = new URL(await network.listen('lnurl')).host;
  clients = {
    lnd: new LndClient({ url: await network.listen('lnd'), macaroon: MACAROON, timeoutMs: 5000 }),
    cln: new ClnClient({ url: await network.listen('cln'), rune: RUNE, timeoutMs: 5000 }),
  };
});

afterEach(async () => {
  await network.close();
  // Whatever a test did: the books balance, and no payment is left open for the next test.
  const totals = await new LedgerStore(database).totals();
  expect(totals.sumSats).toBe(0n);
  expect(totals.mismatches).toBe(0);
  expect(await store.openPayments(new Date(), 10)).toEqual([]);
  await database`delete from lightning_destinations`;
});

const AMOUNT = 100_000n;

interface Miner {
  user: string;
  accountId: number;
}

/** A miner with a confirmed balance who is paid by Lightning. */
async function newMiner(balanceSats = AMOUNT): Promise<Miner> {
  const user = `miner${++users}`;
  const [row] = await database<{ id: number }[]>`
    insert into accounts (name, is_address) values (${user}, false) returning id`;
  const accountId = row?.id ?? 0;
  await database.begin((tx) =>
    postLedger(tx, {
      kind: 'adjustment',
      key: `test-balance:${user}`,
      rule: 'a balance to pay',
      inputs: {},
      lines: [
        { kind: 'wallet', accountId: null, amountSats: -balanceSats },
        { kind: 'miner_confirmed', accountId, amountSats: balanceSats },
      ],
    }),
  );
  await store.setDestination(accountId, `${user}@${domain}`);
  return { user, accountId };
}

function newRunner(
  client: LightningClient,
  options: Partial<LightningRunnerOptions> = {},
  edges?: Edges,
): { runner: LightningRunner; events: LightningEvent[] } {
  const events: LightningEvent[] = [];
  const ask: LightningRunnerOptions['fetchInvoice'] = (address, wanted) =>
    fetchInvoice(address, wanted, { allowLoopback: true, timeoutMs: 5000 });
  const runner = new LightningRunner({
    store: edges === undefined ? store : new LightningPayments(edges.database(database)),
    client: edges === undefined ? client : edges.wrap('node', client),
    fetchInvoice:
      edges === undefined ? ask : (...args) => edges.pass('payee.fetchInvoice', () => ask(...args)),
    prefix: 'bcrt',
    thresholdSats: 1_000n,
    amountMaxSats: 10_000_000n,
    dailyCapSats: 1_000_000_000_000n,
    fee: { payer: 'pool', maxPpm: 5_000, maxBaseSats: 10n },
    payTimeoutS: 60,
    failuresMax: 3,
    retryAfterMs: 30_000,
    everyMs: 3_600_000,
    onEvent: (event) => events.push(event),
    nowMs: () => network.nowS * 1000,
    ...options,
  });
  return { runner, events };
}

async function balances({ accountId }: Miner): Promise<Record<string, bigint>> {
  const rows = await database<{ kind: string; sats: bigint }[]>`
    select a.kind, b.balance_sats as sats from ledger_accounts a
    join ledger_balances b on b.ledger_account_id = a.id
    where a.account_id = ${accountId} and b.balance_sats <> 0`;
  return Object.fromEntries(rows.map(({ kind, sats }) => [kind, sats]));
}

async function pooled(kind: string): Promise<bigint> {
  const [row] = await database<{ sats: bigint }[]>`
    select coalesce(sum(balance_sats), 0)::bigint as sats from ledger_balances where kind = ${kind}`;
  return row?.sats ?? 0n;
}

async function paymentOf({ accountId }: Miner) {
  return (await store.latestPayments(50)).find((payment) => payment.accountId === accountId);
}

/** Steps, half a minute each, until nothing is open. */
async function runUntilDone(runner: LightningRunner, stepsMax = 60): Promise<void> {
  for (let step = 0; step < stepsMax; step++) {
    await runner.step();
    if ((await store.openPayments(new Date(), 10)).length === 0) return;
    network.nowS += 30;
  }
  throw new Error('the payment is still open');
}

for (const kind of ['lnd', 'cln'] as const) {
  describe(`payouts by ${kind}`, () => {
    it('pay a balance once, book the fee to the millisatoshi and hold back nothing', async () => {
      const miner = await newMiner();
      const [wallet, fees] = [await pooled('wallet'), await pooled('network_fees')];
      const [carry] = await database<{ msat: number }[]>`select msat from lightning_fee_carry`;
      const { runner, events } = newRunner(clients[kind]);
      await runner.step();
      expect(network.received.get(miner.user)).toEqual([AMOUNT * 1000n]);
      expect(await balances(miner)).toEqual({});
      const booked = (BigInt(carry?.msat ?? 0) + 1_234n) / 1000n;
      expect((await pooled('wallet')) - wallet).toBe(AMOUNT + booked);
      expect((await pooled('network_fees')) - fees).toBe(-booked);
      expect(await paymentOf(miner)).toMatchObject({ status: 'paid', feeMsat: 1_234n });
      expect(events.map(({ type }) => type)).toEqual(['lightning_sent', 'lightning_paid']);
      await runner.step();
      expect(network.paysAsked).toBe(1);
    });

    it('take the fee from the miner where that is set, and give back what was not used', async () => {
      const miner = await newMiner();
      const { runner } = newRunner(clients[kind], {
        fee: { payer: 'miner', maxPpm: 5_000, maxBaseSats: 10n },
      });
      await runner.step();
      // 500 were kept back, 1.234 were used: 2 are charged.
      expect(network.received.get(miner.user)).toEqual([(AMOUNT - 500n) * 1000n]);
      expect(await balances(miner)).toEqual({ miner_confirmed: 498n });
    });

    it('fetch a new invoice when the node gave up on the first', async () => {
      const miner = await newMiner();
      network.routes.set(miner.user, ['fail', 'pay']);
      const { runner } = newRunner(clients[kind]);
      await runUntilDone(runner);
      expect(network.received.get(miner.user)).toEqual([AMOUNT * 1000n]);
      expect(network.payments.size).toBe(2);
      expect(await paymentOf(miner)).toMatchObject({ status: 'paid', failures: 1 });
    });

    it('wait for coins in flight beyond the end of the invoice, whatever becomes of them', async () => {
      const [late, lost] = [await newMiner(), await newMiner()];
      network.routes.set(late.user, ['hold']);
      network.routes.set(lost.user, ['hold']);
      const { runner } = newRunner(clients[kind]);
      for (let step = 0; step < 100; step++) {
        await runner.step();
        network.nowS += 30;
      }
      expect(network.payments.size).toBe(2);
      expect(await balances(late)).toEqual({ miner_in_flight: AMOUNT });
      network.finish(late.user, 'paid');
      network.finish(lost.user, 'failed');
      await runUntilDone(runner);
      expect(network.received.get(late.user)).toEqual([AMOUNT * 1000n]);
      expect(network.received.get(lost.user)).toEqual([AMOUNT * 1000n]);
      expect(network.payments.size).toBe(3);
    });

    it('leave the balance to the chain after the last failure, and tell the on-chain planner', async () => {
      const miner = await newMiner();
      const held = async () =>
        (await database`select from lightning_held where account_id = ${miner.accountId}`).length === 1;
      network.routes.set(miner.user, ['fail', 'fail', 'fail']);
      expect(await held()).toBe(true);
      const { runner } = newRunner(clients[kind]);
      await runUntilDone(runner);
      expect(await paymentOf(miner)).toMatchObject({ status: 'failed', onChainFallback: true, failures: 3 });
      expect(await balances(miner)).toEqual({ miner_confirmed: AMOUNT });
      expect(await held()).toBe(false);
      // Lightning keeps off until the chain has paid once.
      network.nowS += 2 * 3600;
      await runner.step();
      expect(network.payments.size).toBe(3);
      await payOnChain(miner);
      expect(await held()).toBe(true);
    });
  });
}

/** A confirmed on-chain payout of this account, without its bytes. */
async function payOnChain({ accountId }: Miner): Promise<void> {
  await database.begin(async (tx) => {
    const [row] = await tx<{ id: bigint }[]>`
      insert into payouts (request_key) values (${`test:${accountId}`}) returning id`;
    const id = row?.id ?? 0n;
    await tx`insert into payout_outputs (payout_id, account_id, address, amount_sats, sent_sats)
      values (${id}, ${accountId}, 'bcrt1qtest', 1, 1)`;
    const txid = accountId.toString(16).padStart(64, '0');
    await tx`insert into payout_transactions (payout_id, version, txid, raw_transaction, network_fee_sats)
      values (${id}, 0, ${txid}, '00', 0)`;
    await tx`update payouts set status = 'signed', txid = ${txid}, raw_transaction = '00', network_fee_sats = 0,
      reserved_at = now(), rail = 'node wallet' where id = ${id}`;
    await tx`update payouts set status = 'broadcast' where id = ${id}`;
    await tx`update payouts set status = 'confirmed', confirmed_at = now() where id = ${id}`;
  });
}

describe('a payment', () => {
  it('is not given up because Core Lightning says "failed" between two routes', async () => {
    const miner = await newMiner();
    network.routes.set(miner.user, ['between_routes']);
    const { runner } = newRunner(clients.cln);
    for (let step = 0; step < 4; step++) {
      await runner.step();
      network.nowS += 30;
    }
    expect(await paymentOf(miner)).toMatchObject({ status: 'sent', failures: 0 });
    network.finish(miner.user, 'paid');
    await runUntilDone(runner);
    expect(network.received.get(miner.user)).toEqual([AMOUNT * 1000n]);
  });

  it('is not made anew while its first request may still reach the node', async () => {
    const miner = await newMiner();
    let late: () => Promise<unknown> = async () => {};
    const lingering: LightningClient = {
      info: () => clients.lnd.info(),
      decode: (bolt11) => clients.lnd.decode(bolt11),
      status: (hash) => clients.lnd.status(hash),
      pay: async (terms) => {
        late = () => clients.lnd.pay(terms);
        throw new Error('the answer is lost, the request is not');
      },
    };
    await newRunner(lingering).runner.step();
    const { runner } = newRunner(clients.lnd);
    for (let step = 0; step < 6; step++) {
      network.nowS += 30;
      await runner.step();
    }
    await late().catch(() => {});
    await runUntilDone(runner);
    expect(network.received.get(miner.user)).toEqual([AMOUNT * 1000n]);
    expect(network.payments.size).toBe(1);
  });

  it('waits when another node is connected than the one that was asked to pay', async () => {
    const miner = await newMiner();
    network.routes.set(miner.user, ['hold']);
    const { runner, events } = newRunner(clients.lnd);
    await runner.step();
    network.nodeId = `03${'cd'.repeat(32)}`;
    network.nowS += 7200;
    await runner.step();
    expect(events.at(-1)).toMatchObject({ type: 'lightning_waiting', reason: /Connect the first one again/ });
    network.nodeId = `02${'ab'.repeat(32)}`;
    network.finish(miner.user, 'paid');
    await runUntilDone(runner);
    expect(network.received.get(miner.user)).toEqual([AMOUNT * 1000n]);
  });

  it('is not made with an invoice that another payment was made with', async () => {
    const [first, second] = [await newMiner(), await newMiner(AMOUNT)];
    const invoice = network.invoiceFor('shared', AMOUNT * 1000n);
    const { runner } = newRunner(clients.lnd, {
      fetchInvoice: async () => ({
        invoice: (await import('../../engine/payouts/lightning/bolt11.js')).decodeInvoice(invoice),
        description: null,
      }),
    });
    await runUntilDone(runner);
    expect(network.received.get('shared')).toEqual([AMOUNT * 1000n]);
    const states = [(await paymentOf(first))?.status, (await paymentOf(second))?.status].sort();
    expect(states).toEqual(['failed', 'paid']);
  });

  it('to one invoice on demand is made once, and asked twice under one key is one payment', async () => {
    const miner = await newMiner();
    await store.setDestination(miner.accountId, null);
    const wish = {
      requestKey: `wish:${miner.user}`,
      accountId: miner.accountId,
      destination: network.invoiceFor(miner.user, 5_000_000n),
      sentSats: 5_000n,
      fee: { payer: 'miner' as const, maxPpm: 0, maxBaseSats: 20n },
    };
    const ids = await Promise.all([store.planOne(wish), store.planOne(wish)]);
    expect(ids[0]).toBe(ids[1]);
    await expect(store.planOne({ ...wish, requestKey: 'other' })).rejects.toThrow(/still open/);
    await runUntilDone(newRunner(clients.lnd).runner);
    expect(network.received.get(miner.user)).toEqual([5_000_000n]);
    expect(await balances(miner)).toEqual({ miner_confirmed: AMOUNT - 5_002n });
  });

  it('of a balance that is gone meanwhile fails and reserves nothing', async () => {
    const miner = await newMiner();
    await store.planOne({
      requestKey: `wish:${miner.user}`,
      accountId: miner.accountId,
      destination: `${miner.user}@${domain}`,
      sentSats: AMOUNT + 1n,
      fee: { payer: 'pool', maxPpm: 0, maxBaseSats: 20n },
    });
    await runUntilDone(newRunner(clients.lnd).runner);
    expect(await paymentOf(miner)).toMatchObject({ status: 'failed', onChainFallback: false });
    expect(network.paysAsked).toBe(0);
    await store.setDestination(miner.accountId, null);
    expect(await balances(miner)).toEqual({ miner_confirmed: AMOUNT });
  });

  it('is planned when the account’s schedule has come, and not by itself for those who ask each time', async () => {
    const [daily, asking] = [await newMiner(), await newMiner()];
    await database`update accounts set payout_schedule = 'daily' where id = ${daily.accountId}`;
    await database`update accounts set payout_schedule = 'on_demand' where id = ${asking.accountId}`;
    const { runner } = newRunner(clients.lnd, { amountMaxSats: AMOUNT / 2n });
    await runUntilDone(runner);
    network.nowS += 2 * 3600;
    await runUntilDone(runner);
    expect(network.received.get(daily.user)).toEqual([(AMOUNT / 2n) * 1000n]);
    expect(network.received.get(asking.user)).toBeUndefined();
    await database`update accounts set payout_schedule = null where id = ${daily.accountId}`;
    network.nowS += 2 * 3600;
    await runUntilDone(runner);
    expect(network.received.get(daily.user)).toHaveLength(2);
  });

  it('is made once when two runners work side by side', async () => {
    const miners = [];
    for (let i = 0; i < 6; i++) miners.push(await newMiner());
    const both = [newRunner(clients.lnd).runner, newRunner(clients.lnd).runner];
    await Promise.all(both.map((runner) => runner.step()));
    await runUntilDone(both[0] as LightningRunner);
    for (const { user } of miners) expect(network.received.get(user)).toEqual([AMOUNT * 1000n]);
  });

  it('is not made while the node is behind the chain, and the daily cap holds', async () => {
    const [miner] = [await newMiner(), await newMiner()];
    network.synced = false;
    const { runner, events } = newRunner(clients.lnd);
    await runner.step();
    expect(events).toEqual([{ type: 'lightning_node_down', reason: expect.stringMatching(/catching up/) }]);
    network.synced = true;
    await runUntilDone(runner);
    expect(network.received.get(miner.user)).toHaveLength(1);
    const late = await newMiner();
    await newRunner(clients.lnd, { dailyCapSats: 1n, everyMs: 1_800_000 }).runner.step();
    expect(await paymentOf(late)).toBeUndefined();
  });
});

describe('every edge, failed once and killed once', () => {
  const scenarios: {
    name: string;
    client: 'lnd' | 'cln';
    routes: Route[];
    paid: boolean;
    breaks: readonly Break[];
  }[] = [
    { name: 'paid at once by lnd', client: 'lnd', routes: ['pay'], paid: true, breaks: BREAKS },
    {
      name: 'paid by the second invoice by cln',
      client: 'cln',
      routes: ['fail', 'pay'],
      paid: true,
      breaks: ['fail_before', 'kill_after'],
    },
    {
      name: 'left to the chain by lnd',
      client: 'lnd',
      routes: ['fail', 'fail', 'fail'],
      paid: false,
      breaks: ['fail_after', 'kill_before'],
    },
  ];
  for (const { name, client, routes, paid, breaks } of scenarios) {
    it(name, async () => {
      const points: Record<string, number> = {};
      const names = new Set<string>();
      for (const how of breaks) points[how] = await breakEachEdge(client, routes, paid, how, names);
      // Calls of all kinds, commits and the statements inside of them are among them.
      const kinds = ['commit', 'node.pay', 'node.info', 'node.decode', 'payee.fetchInvoice'];
      const statements = ['tx: insert into lightning_attempts', 'tx: insert into ledger_lines'];
      for (const kind of [...kinds, ...statements]) {
        expect(
          [...names].filter((edge) => edge.startsWith(kind)),
          kind,
        ).not.toEqual([]);
      }
      console.log(`${name}: ${JSON.stringify(points)} points broken`);
      for (const how of breaks) expect(points[how]).toBeGreaterThan(25);
    }, 240_000);
  }

  /** Number of points broken. */
  async function breakEachEdge(
    client: 'lnd' | 'cln',
    routes: Route[],
    paid: boolean,
    how: Break,
    names: Set<string>,
  ): Promise<number> {
    for (let at = 1; at < 1000; at++) {
      const miner = await newMiner();
      network.routes.set(miner.user, [...routes]);
      network.nowS += 3600;
      const edges = new Edges(at, how);
      const outgoing = network.sentMsat;
      const walletBefore = await pooled('wallet');
      // The first process: it meets the fault, and goes on or is dead.
      const first = newRunner(clients[client], {}, edges).runner;
      for (let step = 0; step < 12 && edges.broken === null; step++) {
        await Promise.race([first.step().catch(() => {}), edges.death]);
        network.nowS += 30;
        if (step > 0 && (await store.openPayments(new Date(), 1)).length === 0) break;
      }
      // The second process starts from what is stored.
      await runUntilDone(newRunner(clients[client]).runner);
      const state = `${how} at ${at}, ${edges.broken}`;
      const received = network.received.get(miner.user) ?? [];
      expect(received, state).toEqual(paid ? [AMOUNT * 1000n] : []);
      expect(await balances(miner), state).toEqual(paid ? {} : { miner_confirmed: AMOUNT });
      expect((await paymentOf(miner))?.onChainFallback, state).toBe(!paid);
      // What left the node is what the ledger says, but for the fraction that is carried.
      const booked = ((await pooled('wallet')) - walletBefore) * 1000n;
      const difference = network.sentMsat - outgoing - booked;
      expect(difference > -1000n && difference < 1000n, `${state}: ${difference} msat`).toBe(true);
      for (const edge of edges.passed) names.add(edge);
      if (edges.broken === null) return at - 1;
    }
    throw new Error('the edges never end');
  }
});
