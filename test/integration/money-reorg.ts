// One world of two nodes and a pool, and a reorg of any depth in it, with payouts due, on their way and settled on
// both sides of the fork; afterwards every satoshi is looked up, in the ledger and at the nodes.
import { expect } from 'vitest';
import {
  type ChainNode,
  type MoneyDatabases,
  type MoneyNodes,
  startMoneyDatabases,
  startMoneyNodes,
} from './money-nodes.js';
import { type Finder, MoneyPool } from './money-pool.js';
import { seeded } from './money-random.js';

const SCHEMES = ['pplns', 'pplns', 'pplns', 'solo', 'pps'] as const;
/** The runner sends a payout again that is nowhere to be seen, at the latest after this many steps. */
const REBROADCAST_STEPS = 31;
const QUIET_BLOCKS_MAX = 30;
const DUE_BLOCKS_MAX = 150;

export interface Reorg {
  depth: number;
  /** `rival`: another node's longer chain arrives. `invalidate`: our node gives up its branch and mines another. */
  by: 'rival' | 'invalidate';
  /** Afterwards the lost branch grows longest and is back. */
  returns: boolean;
}

/** Beyond it a world is replaced: regtest halves its subsidy every 150 blocks. */
const HEIGHT_MAX = 1500;

/** Worlds one after the other, each used until its chain is long. */
export class ReorgWorlds {
  readonly #databases: MoneyDatabases;
  #nodes: MoneyNodes | null = null;
  #world: ReorgWorld | null = null;
  #seed: number;

  private constructor(databases: MoneyDatabases, seed: number) {
    this.#databases = databases;
    this.#seed = seed;
  }

  static async start(seed: number): Promise<ReorgWorlds> {
    return new ReorgWorlds(await startMoneyDatabases(), seed);
  }

  /** Never one in which an expectation failed. */
  async next(): Promise<ReorgWorld> {
    const known = this.#world;
    if (known !== null && !known.isBroken && this.#nodes !== null) {
      if ((await this.#nodes.ours.height()) < HEIGHT_MAX) return known;
    }
    await this.#end();
    const nodes = await startMoneyNodes();
    this.#nodes = nodes;
    const pool = await MoneyPool.open(nodes.ours, await this.#databases.create(), 5);
    this.#world = new ReorgWorld(nodes, pool, this.#seed++);
    await this.#world.begin();
    return this.#world;
  }

  async stop(): Promise<void> {
    await this.#end();
    await this.#databases.stop();
  }

  async #end(): Promise<void> {
    await this.#world?.pool.close();
    await this.#nodes?.stop();
    this.#world = null;
    this.#nodes = null;
  }
}

export class ReorgWorld {
  /** Until a reorg ended well. */
  isBroken = false;
  readonly pool: MoneyPool;
  readonly #ours: ChainNode;
  readonly #rival: ChainNode;
  readonly #random: () => number;
  #stranger = '';

  constructor(nodes: MoneyNodes, pool: MoneyPool, seed: number) {
    this.#ours = nodes.ours;
    this.#rival = nodes.rival;
    this.pool = pool;
    this.#random = seeded(seed);
  }

  /** A chain on which blocks of ours mature one by one. */
  async begin(): Promise<void> {
    const wallet = await this.#rival.rpc.openWallet('rival');
    this.#stranger = await wallet.getNewAddress('bech32');
    for (let i = 0; i < 112; i++) await this.#grow(this.#ours, i < 24 ? 0.7 : 0.35, 0);
    await this.#rival.hear(this.#ours, await this.#ours.hashesAbove(0));
  }

  /** Resolves to how many payments it put at risk. */
  async reorg({ depth, by, returns }: Reorg): Promise<number> {
    const { pool } = this;
    const [ours, rival] = [this.#ours, this.#rival];
    this.isBroken = true;
    await this.#untilPayoutIsDue();
    const fork = await ours.height();
    await rival.hear(ours, await ours.hashesAbove(await rival.height()));

    for (let i = 0; i < depth; i++) await this.#grow(ours, i < 2 ? 1 : 0.35, 0.3);
    await pool.step();
    await pool.step();
    await this.#expectBooks();
    const branch = await ours.hashesAbove(fork);
    expect(branch).toHaveLength(depth);
    const atRisk = (await this.#payoutsAbove(branch)).length;

    if (by === 'rival') {
      for (let i = 0; i <= depth; i++) await this.#grow(rival, depth - i < 40 ? 0.15 : 0, 0);
      await ours.hear(rival, await rival.hashesAbove(fork));
    } else {
      await ours.call('invalidateblock', [branch[0]]);
      for (let i = 0; i <= depth; i++) await ours.mine(this.#stranger, 'nothing');
    }
    expect(await ours.height()).toBe(fork + depth + 1);
    await pool.step();
    await pool.step();
    await this.#expectBooks();
    await this.#expectStandings();
    // Below that, coins of the lost branch were not spendable yet: every payout can still be mined.
    if (depth <= 100) await this.#expectAllPaid();
    else await this.#expectNothingPaidFromOrphans();

    if (returns) await this.#comeBack(fork, branch);
    if (by === 'invalidate') await ours.call('reconsiderblock', [branch[0]]);
    await this.#expectAllPaid();
    await rival.hear(ours, await ours.hashesAbove(fork));
    this.isBroken = false;
    return atRisk;
  }

  /** Strangers mine on the lost branch until it is the longest. */
  async #comeBack(fork: number, branch: readonly string[]): Promise<void> {
    const [ours, rival] = [this.#ours, this.#rival];
    const lost = await rival.rpc.getBlockHash(fork + 1);
    await rival.hear(ours, branch);
    await rival.call('invalidateblock', [lost]);
    for (const target = (await ours.height()) + 1; (await rival.height()) < target; ) {
      await rival.mine(this.#stranger, 'nothing');
    }
    await rival.call('reconsiderblock', [lost]);
    await ours.hear(rival, await rival.hashesAbove(fork));
    expect(await ours.rpc.getBlockHash(fork + branch.length)).toBe(branch.at(-1));
    // Credited with more than 100 confirmations, a block matures at the next step.
    for (let i = 0; i < 3; i++) await this.pool.step();
    await this.#expectBooks();
    await this.#expectStandings();
  }

  /** One block on `node`: ours or a stranger's. */
  async #grow(node: ChainNode, oursChance: number, stepChance: number): Promise<void> {
    const { pool } = this;
    if (this.#random() < oursChance) {
      const others = Array.from({ length: 1 + Math.floor(this.#random() * 4) }, () => this.#finder());
      await pool.book(await node.mine(pool.address), node, this.#finder(), others);
    } else {
      await node.mine(this.#stranger);
    }
    if (this.#random() < stepChance) await pool.step();
  }

  #finder(): Finder {
    return { account: this.#pick(this.pool.miners), scheme: this.#pick(SCHEMES) };
  }

  #pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)] as T;
  }

  /** A payout was broadcast and waits for its block. */
  async #untilPayoutIsDue(): Promise<void> {
    for (let i = 0; i < DUE_BLOCKS_MAX; i++) {
      await this.pool.step();
      if ((await this.pool.store.openPayouts()).some(({ status }) => status === 'broadcast')) return;
      await this.#grow(this.#ours, 0.35, 0);
    }
    throw new Error(`no payout became due in ${DUE_BLOCKS_MAX} blocks`);
  }

  /** Payouts that are in a block of `branch`, or in none. */
  async #payoutsAbove(branch: readonly string[]) {
    const above = new Set(branch);
    const found = [];
    for (const payout of await this.pool.payouts()) {
      const { blockHash } = await this.pool.wallet.getTransaction(payout.txid ?? '');
      if (blockHash === undefined || above.has(blockHash)) found.push(payout);
    }
    return found;
  }

  async #expectBooks(): Promise<void> {
    const { pool } = this;
    const books = await pool.books();
    expect(sorted(books)).toEqual(sorted(await pool.recomputedBooks()));
    expect([...books.values()].reduce((sum, sats) => sum + sats, 0n)).toBe(0n);
    const [row] = await pool.database`
      select count(*)::integer as off from ledger_reconciliation where difference_sats is distinct from 0`;
    expect(row?.off).toBe(0);
    const owed = [...books].filter(
      ([kind]) => !/^(coinbase_immature|wallet|network_fees|orphan_loss)$/.test(kind),
    );
    expect(owed.filter(([, sats]) => sats < 0n)).toEqual([]);
  }

  /** Blocks of lost branches are there, as orphaned; each block's credits and losses are one apart, or level. */
  async #expectStandings(): Promise<void> {
    const { pool } = this;
    const rows = await pool.database<{ hash: string; status: string; credited: number; lost: number }[]>`
      select b.hash, b.status,
        (select count(*)::integer from ledger_transactions t
         where t.block_hash = b.hash and t.kind = 'block_credit') as credited,
        (select count(*)::integer from ledger_transactions t
         where t.block_hash = b.hash and t.kind = 'block_orphan') as lost
      from blocks b`;
    expect(rows).toHaveLength(pool.found.length);
    for (const { hash, status, credited, lost } of rows) {
      const { confirmations } = await this.#ours.rpc.getBlockHeader(hash);
      const standing = confirmations < 1 ? 'orphaned' : confirmations < 101 ? 'immature' : 'confirmed';
      expect({ hash, status, credited }).toEqual({
        hash,
        status: standing,
        credited: standing === 'orphaned' ? lost : lost + 1,
      });
    }
  }

  /** A few blocks later every payout is in the chain, once, with coins of the chain; and nothing else was paid. */
  async #expectAllPaid(): Promise<void> {
    const { pool } = this;
    const open = async () => (await pool.store.openPayouts()).length > 0;
    // Each block may mature one of ours, and that makes the next payout.
    for (let blocks = 0; blocks < 2 || ((await open()) && blocks < QUIET_BLOCKS_MAX); blocks++) {
      for (let i = 0; i < REBROADCAST_STEPS && !(await this.#areSeen()); i++) await pool.step();
      await this.#ours.mine(this.#stranger);
      await pool.step();
    }
    await this.#expectNothingPaidFromOrphans();
    const owed = new Map<string, { sats: bigint; payments: number }>();
    for (const { id, status, txid, outputs } of await pool.payouts()) {
      if (status === 'failed') continue;
      const confirmations = txid === null ? 0 : (await pool.wallet.getTransaction(txid)).confirmations;
      expect({ id, status, mined: confirmations > 0 }).toEqual({ id, status: 'confirmed', mined: true });
      for (const { address, sentSats } of outputs) {
        const so = owed.get(address) ?? { sats: 0n, payments: 0 };
        owed.set(address, { sats: so.sats + sentSats, payments: so.payments + 1 });
      }
    }
    const received = await this.#ours.call<{ address: string; amount: number; txids: string[] }[]>(
      'listreceivedbyaddress',
      [1],
      'payees',
    );
    const got = received.map(({ address, amount, txids }) => {
      return [address, { sats: BigInt(Math.round(amount * 1e8)), payments: txids.length }] as const;
    });
    expect(new Map(got)).toEqual(owed);
    await this.#expectBooks();
    const books = await pool.books();
    const { trustedSats, untrustedPendingSats, immatureSats } = await pool.wallet.getBalances();
    expect({ trustedSats, untrustedPendingSats, immatureSats }).toEqual({
      trustedSats: -(books.get('wallet') ?? 0n),
      untrustedPendingSats: 0n,
      immatureSats: -(books.get('coinbase_immature') ?? 0n),
    });
  }

  /** True when each payout is in the chain or in the mempool. */
  async #areSeen(): Promise<boolean> {
    const waiting = new Set(await this.#ours.call<string[]>('getrawmempool'));
    for (const { txid, versions } of await this.pool.payouts()) {
      if (versions.some((version) => waiting.has(version.txid))) continue;
      if (txid !== null && (await this.pool.wallet.getTransaction(txid)).confirmations < 1) return false;
    }
    return true;
  }

  /** The coins of each payout that is mined or waits for it come, through all changes, from coinbases of the chain. */
  async #expectNothingPaidFromOrphans(): Promise<void> {
    const waiting = new Set(await this.#ours.call<string[]>('getrawmempool'));
    const seen = new Set<string>();
    const queue: string[] = [];
    for (const { versions } of await this.pool.payouts()) {
      for (const { txid } of versions) {
        const { confirmations } = await this.pool.wallet.getTransaction(txid);
        if (confirmations > 0 || waiting.has(txid)) queue.push(txid);
      }
    }
    for (let txid = queue.pop(); txid !== undefined; txid = queue.pop()) {
      if (seen.has(txid)) continue;
      seen.add(txid);
      type Found = { confirmations: number; decoded: { vin: { txid?: string; coinbase?: string }[] } };
      const found = await this.#ours.call<Found>('gettransaction', [txid, true, true], 'pool');
      for (const input of found.decoded.vin) {
        if (input.txid !== undefined) queue.push(input.txid);
        else
          expect({ coinbase: txid, inChain: found.confirmations > 0 }).toEqual({
            coinbase: txid,
            inChain: true,
          });
      }
    }
  }
}

function sorted(books: ReadonlyMap<string, bigint>): [string, bigint][] {
  return [...books].sort(([a], [b]) => (a < b ? -1 : 1));
}
