// Every SQL and RPC edge of a payout, from plan to a confirmed replacement, of one with collected signatures and of a
// sweep, fails once and is killed once; a later step puts it right by itself, and by the node's own view each payee
// is paid exactly once.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NodeRpc } from '../../engine/node/rpc.js';
import { parseRpcUrl } from '../../engine/node/rpc-endpoint.js';
import { acceptSignatures } from '../../engine/payouts/collect-signatures.js';
import { FEE_POLICY } from '../../engine/payouts/fee-policy.js';
import { NodeWallet } from '../../engine/payouts/node-wallet.js';
import { NodePayoutChain } from '../../engine/payouts/payout-chain.js';
import { PayoutRunner } from '../../engine/payouts/payout-runner.js';
import type { PayoutTerms } from '../../engine/payouts/payout-terms.js';
import { WalletSweeper } from '../../engine/payouts/wallet-sweep.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { PayoutStore } from '../../storage/postgres/payout-store.js';
import { SweepStore } from '../../storage/postgres/sweep-store.js';
import { type FaultMode, Faults, faultyDatabase, faultyNode } from './payout-faults.js';
import { booksBalance, credit, type PayoutWorld, startPayoutWorld } from './payout-world.js';

const AMOUNT = 1_234_567n;
const SWEPT = 50_000_000n;
const STEPS_MAX = 30;

let world: PayoutWorld;
let database: Database;
let store: PayoutStore;
let url: string;
let proxy: { url: string; close: () => void };
const faults = new Faults();

beforeAll(async () => {
  world = await startPayoutWorld();
  await world.watch('pool', 'watch');
  url = await world.newDatabase();
  database = openPostgres({ url, poolSize: 2, timeoutS: 10 });
  store = new PayoutStore(database);
  proxy = await faultyNode(world.node.rpcUrl, faults);
}, 300_000);

afterAll(async () => {
  proxy?.close();
  await database?.end({ timeout: 1 });
  await world?.stop();
});

interface Life {
  step(): Promise<void>;
  end(): Promise<void>;
}

/** One life of the pool process: nothing of it survives its end. */
function start(make: (own: Database, rpc: NodeRpc) => { step(): Promise<void> }): Life {
  const own = openPostgres({ url, poolSize: 2, timeoutS: 10 });
  const rpc = new NodeRpc({ endpoint: parseRpcUrl(proxy.url, world.node.cookieFile), retryForMs: 0 });
  const part = make(faultyDatabase(own, faults), rpc);
  return {
    step: () => part.step(),
    end: async () => {
      rpc.close();
      await own.end({ timeout: 0 });
    },
  };
}

const payer = (walletName: string, terms: Partial<PayoutTerms>) => (own: Database, rpc: NodeRpc) =>
  new PayoutRunner({
    store: new PayoutStore(own),
    wallet: new NodeWallet(rpc, rpc.wallet(walletName)),
    chain: new NodePayoutChain(rpc, 'regtest'),
    thresholdSats: 1_000_000n,
    terms,
    everyMs: 1,
    confirmationsNeeded: 1,
    onEvent: () => {},
    nowMs: () => Date.now(),
  });

/** Steps until `settled`, with one fault on the way and a new process after each death. */
async function run(
  make: (own: Database, rpc: NodeRpc) => { step(): Promise<void> },
  fault: { at: number; mode: FaultMode },
  settled: (step: number) => Promise<boolean>,
) {
  let life = start(make);
  let restarts = 0;
  faults.arm(fault.at, fault.mode);
  try {
    for (let step = 0; ; step++) {
      if (step > STEPS_MAX) throw new Error(`not settled after ${STEPS_MAX} steps: ${JSON.stringify(fault)}`);
      await life.step().catch(() => {});
      if (faults.dead) {
        await life.end();
        faults.dead = false;
        life = start(make);
        restarts++;
      }
      if (await settled(step)) break;
    }
  } finally {
    await life.end();
  }
  const result = { edges: faults.count, wasHit: faults.hit, restarts };
  faults.disarm();
  return result;
}

type Kind = 'raised fee' | 'fee of payees' | 'collected signatures';
const TERMS: Record<Kind, Partial<PayoutTerms>> = {
  'raised fee': { fees: { ...FEE_POLICY, bumpAfterBlocks: 1 } },
  'fee of payees': { fees: { ...FEE_POLICY, bumpAfterBlocks: 0, paidBy: 'payees' } },
  'collected signatures': { fees: { ...FEE_POLICY, bumpAfterBlocks: 0 } },
};

/** Pays one fresh account, and checks by the node that it was paid exactly once. */
async function payOnce(kind: Kind, at = -1, mode: FaultMode = 'fail_before') {
  const address = await world.payees.getNewAddress('bech32');
  const id = await credit(database, address, AMOUNT);
  const raised = kind === 'raised fee';
  const walletName = kind === 'collected signatures' ? 'watch' : 'pool';
  const result = await run(payer(walletName, TERMS[kind]), { at, mode }, async (step) => {
    const [payout] = (await store.latestPayouts(3)).filter(({ outputs }) => outputs[0]?.accountId === id);
    if (payout?.status === 'confirmed') return true;
    if (payout?.status === 'awaiting_signatures' && payout.psbt !== null) {
      const { psbt } = await world.poolWallet.walletProcessPsbt(payout.psbt);
      const watch = new NodeWallet(world.rpc, world.rpc.wallet('watch'));
      await acceptSignatures(store, watch, payout.id, 'signer', psbt);
    }
    // First a block that leaves the payment out, so that its fee is raised; later one that takes it.
    const leaveOut = raised && (payout?.versions.length ?? 0) < 2 && step < 8;
    if (payout?.status === 'broadcast') await world.mine(leaveOut ? 'nothing' : 'all');
    return false;
  });
  const paid = (await store.latestPayouts(10)).filter(
    ({ outputs, status }) => outputs[0]?.accountId === id && status !== 'failed',
  );
  expect(paid).toHaveLength(1);
  const [{ txid, networkFeeSats, outputs, versions } = (await store.latestPayouts(1))[0] as never] = paid;
  const sentSats = outputs[0]?.sentSats ?? 0n;
  expect(await world.received(address)).toEqual({ sats: sentSats, payments: 1 });
  expect(sentSats).toBe(kind === 'fee of payees' ? AMOUNT - (versions[0]?.networkFeeSats ?? 0n) : AMOUNT);
  const seen = await world.call<{ fee: number }>('gettransaction', [txid], 'pool');
  expect(BigInt(Math.round(-seen.fee * 1e8))).toBe(networkFeeSats);
  const [balance] = await database<{ confirmed: bigint; flying: bigint }[]>`
    select confirmed_sats as confirmed, in_flight_sats as flying from account_balances where account_id = ${id}`;
  expect(balance).toEqual({ confirmed: 0n, flying: 0n });
  return { ...result, versions: versions.length };
}

/** Brings the hot wallet above its cap, and checks by the node that one sweep went to the cold address. */
async function sweepOnce(at = -1, mode: FaultMode = 'fail_before') {
  const cold = await world.payees.getNewAddress('bech32');
  await new NodeWallet(world.rpc, world.poolWallet).hold([]);
  const { trustedSats } = await world.poolWallet.getBalances();
  const sweeper = (own: Database, rpc: NodeRpc) =>
    new WalletSweeper({
      store: new SweepStore(own),
      payouts: new PayoutStore(own),
      wallet: new NodeWallet(rpc, rpc.wallet('pool')),
      coldAddress: cold,
      floorSats: trustedSats - SWEPT,
      capSats: trustedSats - 1n,
      confirmationsNeeded: 1,
      feeRate: async () => 2,
      onSweep: () => {},
    });
  const result = await run(sweeper, { at, mode }, async () => {
    const [sweep] = await database<{ status: string }[]>`
      select status from wallet_sweeps where address = ${cold} and status <> 'failed'`;
    if (sweep?.status === 'broadcast' || sweep?.status === 'confirmed') {
      // Each block of the test fills the hot wallet a little.
      if ((await world.received(cold)).payments === 0) await world.mine('all');
    }
    return sweep?.status === 'confirmed';
  });
  expect(await world.received(cold)).toEqual({ sats: SWEPT, payments: 1 });
  const rows = await database`select from wallet_sweeps where address = ${cold} and status = 'confirmed'`;
  expect(rows).toHaveLength(1);
  return result;
}

/** Breaks every edge once. What a run before left in the wallet can move the edges a little: 20 more are tried. */
async function breakEveryEdge(
  once: (at: number, mode: FaultMode) => Promise<{ edges: number; wasHit: boolean; restarts: number }>,
  edges: number,
  mode: FaultMode,
): Promise<void> {
  let hits = 0;
  let restarts = 0;
  for (let at = 1; at <= edges + 20; at++) {
    const result = await once(at, mode);
    hits += result.wasHit ? 1 : 0;
    restarts += result.restarts;
    if (!result.wasHit && at > edges) break;
  }
  expect(hits).toBeGreaterThanOrEqual(edges);
  expect(restarts).toBe(mode.startsWith('kill') ? hits : 0);
  await booksBalance(database);
  // What a crash left locked is put right with the next build.
  expect(await world.call('listlockunspent', [], 'pool')).toEqual([]);
}

// Killed after an edge is killed before the next one.
const MODES: readonly FaultMode[] = ['fail_before', 'fail_after', 'kill_before'];

describe('a payout whose fee is raised, with a fault at every edge', () => {
  it.each(MODES)('pays each payee exactly once: %s', { timeout: 600_000 }, async (mode) => {
    const { edges, versions } = await payOnce('raised fee');
    expect(versions).toBe(2);
    expect(edges).toBeGreaterThan(50);
    await breakEveryEdge((at) => payOnce('raised fee', at, mode), edges, mode);
  });
});

describe('a payout whose fee the payees bear, with a fault at every edge', () => {
  it.each(['fail_after', 'kill_after'] as const)(
    'charges them exactly once: %s',
    { timeout: 600_000 },
    async (mode) => {
      const { edges } = await payOnce('fee of payees');
      await breakEveryEdge((at) => payOnce('fee of payees', at, mode), edges, mode);
    },
  );
});

describe('a payout with collected signatures, with a fault at every edge', () => {
  it.each(['fail_after', 'kill_after'] as const)(
    'pays exactly once: %s',
    { timeout: 600_000 },
    async (mode) => {
      const { edges } = await payOnce('collected signatures');
      await breakEveryEdge((at) => payOnce('collected signatures', at, mode), edges, mode);
    },
  );
});

describe('a sweep with a fault at every edge', () => {
  it.each(['fail_after', 'kill_after'] as const)(
    'arrives exactly once: %s',
    { timeout: 600_000 },
    async (mode) => {
      const { edges } = await sweepOnce();
      await breakEveryEdge((at) => sweepOnce(at, mode), edges, mode);
    },
  );
});
