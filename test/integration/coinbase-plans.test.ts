// Coinbases that pay miners straight, on a real regtest node: plans from booked work, jobs and blocks of them, their
// credit by the very plan they were built with, and what reorgs, restarts and wrong coinbases do to it.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { looksLikeAddress, scriptFromAddress } from '../../engine/bitcoin/address.js';
import { sha256d } from '../../engine/bitcoin/hash.js';
import { encodeHeader, headerHash } from '../../engine/bitcoin/header.js';
import { bytesToHex, displayHash } from '../../engine/bitcoin/hex.js';
import { rootFromBranch } from '../../engine/bitcoin/merkle.js';
import { NETWORKS } from '../../engine/bitcoin/networks.js';
import { blockSubsidy } from '../../engine/bitcoin/subsidy.js';
import { concatBytes } from '../../engine/bitcoin/transaction.js';
import { type BlockEvent, BlockLifecycle } from '../../engine/block-lifecycle.js';
import { CoinbasePlanner, poolCoinbase } from '../../engine/coinbase-plan.js';
import { JobMaker } from '../../engine/job-maker.js';
import { blockStandings } from '../../engine/node/chain-watcher.js';
import type { JobMessage } from '../../engine/stratum/thread-messages.js';
import { type BlockTemplate, parseTemplate } from '../../engine/work/template.js';
import type { JournalBatch } from '../../storage/journal/batch.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { BlockStore } from '../../storage/postgres/block-store.js';
import { CoinbasePlanStore } from '../../storage/postgres/coinbase-plans.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { activateLanes } from '../../storage/postgres/ledger-lanes.js';
import { LedgerStore } from '../../storage/postgres/ledger-store.js';
import { WorkStore } from '../../storage/postgres/work-store.js';
import { NonceSearcher } from '../../wasm/nonce-searcher.js';
import { TEST_JOB, TEST_TIME_MS, type TestShare, testBatch } from '../fixtures/journal-batch.js';
import { booksBalance, type PayoutWorld, startPayoutWorld } from './payout-world.js';

const NETWORK = 'regtest';
const TAG = 'millrace test';
const FEE_PPM = 10_000;
const MINIMUM = 100_000n;
const BITS = 0x207fffff;
/** One hash a share; a block is two. */
const EASY = 1n << 255n;

let world: PayoutWorld;
let poolAddress: string;
let addresses: string[];

beforeAll(async () => {
  world = await startPayoutWorld();
  poolAddress = await world.poolWallet.getNewAddress('bech32');
  addresses = [];
  for (let i = 0; i < 40; i++) addresses.push(await world.payees.getNewAddress('bech32'));
}, 180_000);
afterAll(() => world.stop());

let url: string;
let pool: Pool;

beforeEach(async () => {
  url = await world.newDatabase();
  pool = await Pool.open();
});
afterEach(async () => {
  await booksBalance(pool.database);
  await pool.close();
});

interface PoolOptions {
  feePpm?: number;
  poolAddress?: string;
  coinbaseBytesMax?: number;
}

/** The parts of a running pool that coinbases and blocks pass through. */
class Pool {
  readonly database: Database;
  readonly plans: CoinbasePlanStore;
  readonly planner: CoinbasePlanner;
  readonly jobs: JobMaker;
  readonly work: WorkStore;
  readonly blocks: BlockStore;
  readonly ledger: LedgerStore;
  readonly lifecycle: BlockLifecycle;
  readonly events: BlockEvent[] = [];
  #seq = 1;
  #round = 0;
  static #jobKey = 0;

  private constructor(options: PoolOptions) {
    this.database = openPostgres({ url, poolSize: 4, timeoutS: 10 });
    const script = scriptFromAddress(options.poolAddress ?? poolAddress, NETWORK);
    const feePpm = () => options.feePpm ?? FEE_PPM;
    const subsidySats = (height: number) => blockSubsidy(height, NETWORK);
    this.plans = new CoinbasePlanStore(this.database, {
      network: NETWORK,
      poolScript: script,
      feePpm,
      windowPermille: 1_000_000,
      minimumSats: MINIMUM,
      ...poolCoinbase({ script, tag: TAG, extranonceBytes: 12 }),
      coinbaseBytesMax: options.coinbaseBytesMax ?? 500,
    });
    this.planner = new CoinbasePlanner({
      store: this.plans,
      subsidySats,
      everyMs: 0,
      nowMs: () => performance.now(),
      log: (_, message) => {
        throw new Error(message);
      },
    });
    this.jobs = new JobMaker({
      ...{ script, tag: TAG, extranonce1Bytes: 4, extranonce2Bytes: 8, planner: this.planner },
      keys: { next: () => ++Pool.#jobKey },
    });
    this.work = new WorkStore(this.database, {
      defaultScheme: 'pplns',
      isAddress: looksLikeAddress,
    });
    this.blocks = new BlockStore(this.database);
    this.ledger = new LedgerStore(this.database);
    this.lifecycle = new BlockLifecycle({
      blocks: this.blocks,
      chain: {
        tipHeight: async () => (await world.rpc.getBlockchainInfo()).blocks,
        standings: (hashes) => blockStandings(world.rpc, hashes),
        coinbaseOutputs: (hash) => world.rpc.getCoinbaseOutputs(hash),
      },
      subsidySats,
      terms: { feePpm, windowPermille: 1_000_000, defaultScheme: 'pplns' },
      onEvent: (event) => this.events.push(event),
      nowMs: () => Date.now(),
    });
  }

  static async open(options: PoolOptions = {}, before?: Pool): Promise<Pool> {
    const opened = new Pool(options);
    await activateLanes(opened.database, { running: [0], former: [] });
    if (before !== undefined) {
      opened.#seq = before.#seq;
      opened.#round = before.#round;
    }
    return opened;
  }

  async close(): Promise<void> {
    await this.planner.settle();
    await this.database.end({ timeout: 1 });
  }

  /** Everything but the database dies, and comes back with other settings. */
  async restarted(options: PoolOptions = {}): Promise<Pool> {
    await this.close();
    return await Pool.open(options, this);
  }

  /** Books one share of each name, as the shipper does. */
  async book(names: readonly string[]): Promise<void> {
    await this.#apply(names.map((who) => ({ who, target: EASY, round: this.#round })));
  }

  async #apply(shares: readonly TestShare[], edit = (batch: JournalBatch) => batch): Promise<void> {
    await this.work.applyBatch(edit(testBatch(this.#seq, shares)));
    this.#seq += shares.length;
  }

  async plan(): Promise<void> {
    this.planner.renew(await template());
    await this.planner.settle();
  }

  /** Mines `job` with real work, brings the block to the node and books its share. */
  async find(job: JobMessage, finder: string, planId = job.plan, jobs = this.jobs): Promise<string> {
    const { hash, hex } = mine(jobs, job);
    expect(await world.rpc.submitBlock(hex)).toBe(null);
    await this.#apply([{ who: finder, target: EASY, round: this.#round, block: true }], (batch) => {
      Buffer.from(hash, 'hex').reverse().copy(batch.records, SHARE.hash);
      expect(batch.records.length).toBe(SHARE_RECORD_BYTES);
      const record = { ...TEST_JOB, height: job.height, bits: BITS };
      return { ...batch, jobs: new Map([[1, planId === undefined ? record : { ...record, plan: planId }]]) };
    });
    this.#round++;
    return hash;
  }

  async findNow(finder: string): Promise<string> {
    await this.plan();
    return await this.find(this.jobs.make(await template()), finder);
  }

  async status(hash: string): Promise<string | undefined> {
    return (await this.blocks.latestBlocks(1000)).find((block) => block.hash === hash)?.status;
  }
}

async function template(): Promise<BlockTemplate> {
  return parseTemplate(await world.rpc.getBlockTemplate(NETWORKS[NETWORK].templateRules), NETWORK);
}

function mine(jobs: JobMaker, job: JobMessage): { hash: string; hex: string } {
  const [extranonce1, extranonce2] = [new Uint8Array(4), new Uint8Array(8)];
  const coinbase = concatBytes([job.coinbase1, extranonce1, extranonce2, job.coinbase2]);
  const fields = {
    version: job.version,
    previousBlock: job.previousBlock,
    merkleRoot: rootFromBranch(sha256d(coinbase), job.branch),
    time: job.curtime,
    bits: job.bits,
  };
  const { nonce } = new NonceSearcher().search(
    encodeHeader({ ...fields, nonce: 0 }),
    job.networkTargetLE,
    0,
    2 ** 24,
  );
  if (nonce === null) throw new Error('no block in 16 million hashes');
  const hash = headerHash(encodeHeader({ ...fields, nonce }));
  const solution = { extranonce1, extranonce2, version: job.version, ntime: job.curtime, nonce, hash };
  const made = jobs.assemble({ jobKey: job.key, sessionNumber: 1, identity: 1, seq: 1, ...solution });
  if (made === null) throw new Error('the job is gone');
  return { hash: displayHash(hash), hex: made.block.blockHex };
}

/** Unspent outputs of a block's coinbase, as the node has them: satoshis by address. */
async function coins(hash: string): Promise<Map<string, bigint>> {
  const { txids } = await world.rpc.getBlock(hash);
  const found = new Map<string, bigint>();
  for (let index = 0; index < 1000; index++) {
    const output = await world.call<{ value: number; scriptPubKey: { address?: string } } | null>(
      'gettxout',
      [txids[0], index],
    );
    if (output === null) {
      if (index > (await world.rpc.getCoinbaseOutputs(hash)).length) break;
      continue;
    }
    const { address } = output.scriptPubKey;
    if (address !== undefined) found.set(address, BigInt(Math.round(output.value * 1e8)));
  }
  return found;
}

/** What the ledger transaction that credited a block was given. */
async function inputsOf(hash: string, credit = 1): Promise<Record<string, unknown>> {
  const [row] = await pool.database<{ inputs: Record<string, unknown> }[]>`
    select inputs from ledger_transactions where idempotency_key = ${`credit:${hash}:${credit}`}`;
  return row?.inputs ?? {};
}

async function payments(): Promise<{ account: string; address: string; sats: bigint }[]> {
  return await pool.database<{ account: string; address: string; sats: bigint }[]>`
    select a.name as account, p.address, p.amount_sats as sats
    from coinbase_payments p join accounts a on a.id = p.account_id order by p.amount_sats desc, a.id`;
}

const share = (sats: bigint, part: bigint, of: bigint) => (sats * part * 99n) / (of * 100n);
const sum = (amounts: Iterable<bigint>) => [...amounts].reduce((all, each) => all + each, 0n);
const A = () => addresses[0] as string;
const B = () => addresses[1] as string;

describe('a block whose coinbase pays miners', () => {
  it('pays one miner straight, to the satoshi, fees included, and books only what the pool holds', async () => {
    await world.call('sendtoaddress', [B(), 1], 'pool');
    await pool.book([A(), A(), A(), 'name-without-address']);
    const hash = await pool.findNow('name-without-address');
    await pool.lifecycle.step();
    expect(await pool.status(hash)).toBe('immature');
    const [block] = await pool.blocks.latestBlocks(1);
    const coinbase = block?.coinbaseSats ?? 0n;
    expect(block?.feesSats).toBeGreaterThan(0n);
    const direct = share(coinbase, 3n, 4n);
    expect(await coins(hash)).toEqual(
      new Map([
        [poolAddress, coinbase - direct],
        [A(), direct],
      ]),
    );
    expect(await payments()).toEqual([{ account: A(), address: A(), sats: direct }]);
    expect(await pool.ledger.balance('name-without-address')).toMatchObject({
      immatureSats: share(coinbase, 1n, 4n),
    });
    const { balances } = await pool.ledger.totals();
    expect(balances.coinbase_immature).toBe(direct - coinbase);
    expect(balances.miner_immature).toBe(share(coinbase, 1n, 4n));
    expect(balances.pool_fee_immature).toBe(coinbase / 100n);
    // The finder's own share is not in the window: the coinbase was fixed before it.
    expect(await inputsOf(hash)).toMatchObject({
      coinbaseSats: `${coinbase}`,
      totalWeight: '4',
      cut: [{ node: 0, nextSeq: '5' }],
      plannedAt: expect.stringMatching(/^\d{4}-.*Z$/),
      direct: [{ address: A(), amountSats: `${direct}` }],
      poolSats: `${coinbase - direct}`,
      seq: '5',
      round: '0',
    });
  });

  it('pays as many as fit, those with most first, and the rest through the pool', async () => {
    for (const [index, address] of addresses.entries()) {
      await pool.book(new Array(index < 15 ? 20 - index : 1).fill(address));
    }
    const hash = await pool.findNow(A());
    await pool.lifecycle.step();
    const paid = await coins(hash);
    // 169 bytes without miners, 31 each.
    expect([...paid.keys()]).toEqual([poolAddress, ...addresses.slice(0, 10)]);
    const bytes = await world.call<{ tx: { size: number; weight: number; vsize: number }[] }>('getblock', [
      hash,
      2,
    ]);
    expect((bytes.tx[0]?.size ?? 0) - 36).toBeLessThanOrEqual(500);
    const [block] = await pool.blocks.latestBlocks(1);
    expect(sum(paid.values())).toBe(block?.coinbaseSats);
    const totals = await pool.ledger.totals();
    expect(totals.balances.coinbase_immature).toBe(-(paid.get(poolAddress) ?? 0n));
    expect(await payments()).toHaveLength(10);
    for (const address of addresses.slice(0, 10)) {
      expect(await pool.ledger.balance(address)).toMatchObject({ immatureSats: 0n });
    }
    const weight = BigInt(20 - 10);
    const total = BigInt(sum(addresses.map((_, index) => BigInt(index < 15 ? 20 - index : 1))));
    expect(await pool.ledger.balance(addresses[10] as string)).toMatchObject({
      immatureSats: share(block?.coinbaseSats ?? 0n, weight, total),
    });
  });

  it('pays the pool alone when nobody can be paid straight, and is credited as ever', async () => {
    await pool.book(['a-name', 'b-name']);
    const hash = await pool.findNow('a-name');
    await pool.lifecycle.step();
    expect([...(await coins(hash)).keys()]).toEqual([poolAddress]);
    expect(await payments()).toEqual([]);
    expect(await inputsOf(hash)).toMatchObject({ workInWindow: '3' });
    const [row] = await pool.database<{ plan: string | null }[]>`
      select coinbase_plan as plan from blocks where hash = ${hash}`;
    expect(row?.plan).toBe(null);
  });

  it('is credited by its plan after a restart with another fee and address, work that came since left out', async () => {
    await pool.book([A(), B()]);
    await pool.plan();
    const job = pool.jobs.make(await template());
    await pool.book(new Array(98).fill('late'));
    const hash = await pool.find(job, 'late');
    pool = await pool.restarted({ feePpm: 500_000, poolAddress: A(), coinbaseBytesMax: 255 });
    await pool.lifecycle.step();
    const [block] = await pool.blocks.latestBlocks(1);
    const half = share(block?.coinbaseSats ?? 0n, 1n, 2n);
    expect(await coins(hash)).toMatchObject(
      new Map([
        [poolAddress, (block?.coinbaseSats ?? 0n) - 2n * half],
        [A(), half],
        [B(), half],
      ]),
    );
    expect(await pool.ledger.balance('late')).toMatchObject({ immatureSats: 0n });
    expect((await pool.ledger.totals()).balances.pool_fee_immature).toBe((block?.coinbaseSats ?? 0n) / 100n);
  });

  it('is reversed by a reorg and credited again when it comes back; what it paid counts once matured', async () => {
    await pool.book([A(), A(), 'a-name']);
    const hash = await pool.findNow(A());
    await pool.lifecycle.step();
    const [{ sats: direct = 0n } = {}] = await payments();
    expect(direct).toBeGreaterThan(0n);
    const before = await pool.ledger.totals();

    await world.call('invalidateblock', [hash]);
    await world.mine('nothing');
    await pool.lifecycle.step();
    expect(await pool.status(hash)).toBe('orphaned');
    expect((await pool.ledger.totals()).balances).toMatchObject({
      coinbase_immature: 0n,
      miner_immature: 0n,
    });
    expect(await pool.ledger.balance(A())).toMatchObject({ paidSats: 0n, immatureSats: 0n });
    pool = await pool.restarted();

    await world.call('reconsiderblock', [hash]);
    const other = await world.call<string>('getbestblockhash');
    if (other !== hash) await world.call('invalidateblock', [other]);
    await pool.lifecycle.step();
    expect(await pool.status(hash)).toBe('immature');
    expect((await pool.ledger.totals()).balances).toEqual(before.balances);
    expect((await pool.ledger.balance(A()))?.paidSats).toBe(0n);

    await world.rpc.generateToAddress(100, poolAddress);
    await pool.lifecycle.step();
    expect(await pool.status(hash)).toBe('confirmed');
    expect(await pool.ledger.balance(A())).toMatchObject({ paidSats: direct, confirmedSats: 0n });
    const { balances } = await pool.ledger.totals();
    expect(balances.wallet).toBe(before.balances.coinbase_immature);
    expect((await coins(hash)).get(A())).toBe(direct);
    expect(await payments()).toHaveLength(1);
  }, 60_000);

  it('is refused whose coinbase is not what its plan says; blocks after it are credited', async () => {
    await pool.book([A(), B()]);
    await pool.plan();
    const planned = pool.jobs.make(await template());
    // A coinbase that pays the pool alone, booked as if it had paid by the plan.
    const alone = new JobMaker({
      script: scriptFromAddress(poolAddress, NETWORK),
      ...{ tag: TAG, extranonce1Bytes: 4, extranonce2Bytes: 8, keys: { next: () => 1_000_000 } },
    });
    const wrong = await pool.find(alone.make(await template()), A(), planned.plan, alone);
    const missing = await pool.find(pool.jobs.make(await template()), A(), 'ab'.repeat(32));
    const right = await pool.findNow(A());
    await expect(pool.lifecycle.step()).rejects.toThrow(
      new RegExp(`^block ${wrong} is not credited: output 0 of its coinbase is \\d+ sats to script`),
    );
    expect(await pool.status(wrong)).toBe('candidate');
    expect(await pool.status(missing)).toBe('candidate');
    expect(await pool.status(right)).toBe('immature');
    expect(await payments()).toHaveLength(2);
    await pool.blocks.orphanBlock(wrong, 'test');
    await expect(pool.lifecycle.step()).rejects.toThrow(/is not credited/);
    const terms = { subsidySats: 1n, feesSats: 0n, feePpm: () => 0, windowPermille: 2000 };
    await expect(
      pool.blocks.creditBlock(missing, { ...terms, defaultScheme: 'pplns', coinbase: [] }),
    ).rejects.toThrow(/does not have: it was restored from a backup/);
  });
});

describe('a plan', () => {
  const next = async () => {
    const { height, previousBlockHash, target } = await template();
    return {
      ...{ height, previousBlock: previousBlockHash, networkTarget: target },
      ...{ subsidySats: 2_500_000_000n, feesSats: 0n },
    };
  };
  const id = async (name: string) => {
    const [row] = await pool.database<{ id: number }[]>`select id from accounts where name = ${name}`;
    return row?.id ?? 0;
  };

  /** The account is paid to these addresses, in equal shares. */
  const payTo = async (owner: number, targets: readonly string[]) => {
    await pool.database.begin(async (tx) => {
      const [change] = await tx<{ id: bigint }[]>`
        insert into payout_address_changes
          (account_id, nonce, network, message, expires_at, status, accepted_at, effective_at)
        values (${owner}, md5(random()::text), 'regtest', 'test', now() + interval '1 hour', 'accepted', now(), now())
        returning id`;
      for (const [position, address] of targets.entries()) {
        await tx`
          insert into payout_address_targets (change_id, position, address, share_ppm)
          values (${change?.id ?? 0n}, ${position}, ${address}, ${1_000_000 / targets.length})`;
      }
    });
  };

  it('is stored once while nothing changed, anew when it did, and is never changed', async () => {
    expect(await pool.plans.make(await next())).toBe(null);
    await pool.book([A(), B()]);
    const first = await pool.plans.make(await next());
    expect(first?.id).toMatch(/^[0-9a-f]{64}$/);
    expect(await pool.plans.make({ ...(await next()), feesSats: 5n, height: 9999 })).toEqual(first);
    await pool.book([B()]);
    const second = await pool.plans.make(await next());
    expect(second?.id).not.toBe(first?.id);
    const [count] = await pool.database<{ plans: bigint }[]>`select count(*) as plans from coinbase_plans`;
    expect(count?.plans).toBe(2n);
    await expect(pool.database.unsafe("update coinbase_plans set plan = '{}'")).rejects.toThrow(
      /cannot be rewritten/,
    );
  });

  it('goes when every journal is booked to a day after it and no block was found on it', async () => {
    const { database } = pool;
    const plans = async () => {
      const rows = await database<{ id: string }[]>`select id from coinbase_plans`;
      return new Set(rows.map(({ id }) => id));
    };
    const made = async () => (await pool.plans.make(await next()))?.id ?? '';
    const age = async (id: string, hours: number) => {
      const at = new Date(TEST_TIME_MS - hours * 3_600_000);
      await database`update coinbase_plans set used_at = ${at} where id = ${id}`;
    };
    await activateLanes(database, { running: [0, 1], former: [] });
    await pool.book([A(), B()]);
    await pool.plan();
    const found = await pool.find(pool.jobs.make(await template()), A());
    const [block] = await database<{ plan: string }[]>`
      select coinbase_plan as plan from blocks where hash = ${found}`;
    const withBlock = block?.plan ?? '';
    const unused = await made();
    await pool.book([A()]);
    const recent = await made();
    await age(withBlock, 25);
    await age(unused, 25);
    await age(recent, 23);
    await pool.book([A()]);
    const now = await made();
    expect(await plans()).toEqual(new Set([withBlock, unused, recent, now]));
    // The other journal was not booked to any share yet.
    await pool.work.applyBatch(testBatch(1, [{ who: A(), target: EASY, round: 1 }], 1));
    const last = await made();
    expect(await plans()).toEqual(new Set([withBlock, recent, now, last]));
    await expect(database`delete from coinbase_plans where id = ${withBlock}`).rejects.toThrow(
      /a block was found on it/,
    );
    // Made anew, it is in use again, however old it is.
    await age(last, 30);
    expect(await made()).toBe(last);
    expect(await plans()).toContain(last);
  });

  it('pays straight only who wants it so: one address, no quarantine, no Lightning, no schedule, no higher threshold', async () => {
    const names = addresses.slice(0, 8) as [string, ...string[]];
    await pool.book(names);
    const { database } = pool;
    const [plain, scheduled, patient, quarantined, lightning, several, daily, modest] = names;
    await database`update accounts set payout_schedule = 'on_demand' where name = ${scheduled as string}`;
    await database`update accounts set payout_schedule = 'daily' where name = ${daily as string}`;
    await database`update accounts set payout_threshold_sats = 400000000 where name = ${patient as string}`;
    await database`update accounts set payout_threshold_sats = 1 where name = ${modest as string}`;
    await database`
      insert into payout_quarantine (account_id, address, reason, cure)
      values (${await id(quarantined as string)}, ${quarantined as string}, 'test', 'test')`;
    await database`
      insert into lightning_destinations (account_id, destination)
      values (${await id(lightning as string)}, 'a@b.example')`;
    const owner = await id(several as string);
    await payTo(owner, addresses.slice(20, 22));
    const plan = await pool.plans.make(await next());
    const minimums = new Map(plan?.plan.direct.map(({ accountId, minimumSats }) => [accountId, minimumSats]));
    expect(minimums).toEqual(
      new Map([
        [await id(plain), MINIMUM],
        [await id(modest as string), MINIMUM],
      ]),
    );
    // The one address that an account named is paid, not its name.
    await payTo(owner, addresses.slice(22, 23));
    const moved = await pool.plans.make(await next());
    const target = moved?.plan.direct.find(({ accountId }) => accountId === owner);
    expect(bytesToHex(target?.script ?? new Uint8Array())).toBe(
      bytesToHex(scriptFromAddress(addresses[22] as string, NETWORK)),
    );
  });

  it('says which shares it holds: those of every journal up to where it was booked', async () => {
    await pool.book([A(), A(), B()]);
    const plan = await pool.plans.make(await next());
    const [row] = await pool.database<{ plan: Record<string, unknown> }[]>`
      select plan from coinbase_plans where id = ${plan?.id ?? ''}`;
    expect(row?.plan).toMatchObject({
      ...{ cut: [{ node: 0, nextSeq: '4' }], workInWindow: '3', totalWeight: '3', windowWork: '2000' },
      windowPermille: 1_000_000,
    });
    const terms = { scheme: 'pplns', feePpm: FEE_PPM, donationPpm: 0 };
    const parts = [
      { account: await id(A()), weight: '2', ...terms },
      { account: await id(B()), weight: '1', ...terms },
    ];
    expect(row?.plan.parts).toEqual(parts.sort((a, b) => a.account - b.account));
  });
});
