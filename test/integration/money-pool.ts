// A pool's money on a real node, wired as engine/money.ts does, with its shares and blocks booked as the shipper does;
// and the recomputation of all its books from the best chain, the list of its shares and the payouts it settled.
import { blockSubsidy } from '../../engine/bitcoin/subsidy.js';
import { targetFromBits } from '../../engine/bitcoin/target.js';
import { type BlockEvent, BlockLifecycle } from '../../engine/block-lifecycle.js';
import { blockStandings } from '../../engine/node/chain-watcher.js';
import type { WalletRpc } from '../../engine/node/wallet-rpc.js';
import { NodeWallet } from '../../engine/payouts/node-wallet.js';
import { NodePayoutChain } from '../../engine/payouts/payout-chain.js';
import { type PayoutEvent, PayoutRunner } from '../../engine/payouts/payout-runner.js';
import { BlockStore } from '../../storage/postgres/block-store.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { activateLanes } from '../../storage/postgres/ledger-lanes.js';
import { type Payout, PayoutStore } from '../../storage/postgres/payout-store.js';
import { WorkStore } from '../../storage/postgres/work-store.js';
import { type PlainBlock, type PlainShare, plainSplit } from './money-model.js';
import type { ChainNode } from './money-nodes.js';
import { hashesOf, type MoneyShare, moneyBatch } from './money-shares.js';

const REGTEST_BITS = 0x207fffff;
const TARGET = targetFromBits(REGTEST_BITS);
/** Every hash is below it: half the work of a block. */
const EASY_TARGET = (1n << 256n) - 1n;
const WINDOW_PERMILLE = 8_000;
const FEE_PPM = { pplns: 10_000, solo: 25_000, pps: 30_000, ppsplus: 30_000, fpps: 30_000 };

export interface OurBlock extends PlainBlock {
  hash: string;
}

export interface Finder {
  account: string;
  scheme: 'pplns' | 'solo' | 'pps';
}

export class MoneyPool {
  readonly node: ChainNode;
  readonly database: Database;
  readonly blocks: BlockStore;
  readonly store: PayoutStore;
  readonly lifecycle: BlockLifecycle;
  readonly wallet: WalletRpc;
  /** What our coinbases pay. */
  readonly address: string;
  /** Addresses of the miners, which are the names of their accounts. */
  readonly miners: readonly string[];
  /** All of ours ever found, on whatever branch, in the order they were found. */
  readonly found: OurBlock[] = [];
  readonly blockEvents: BlockEvent[] = [];
  readonly payoutEvents: PayoutEvent[] = [];
  readonly #work: WorkStore;
  readonly #runner: PayoutRunner;
  readonly #shares: PlainShare[] = [];
  #minute = 0;
  #nowMs = Date.now();

  private constructor(node: ChainNode, database: Database, wallet: WalletRpc, addresses: readonly string[]) {
    const [address = '', ...miners] = addresses;
    this.node = node;
    this.database = database;
    this.wallet = wallet;
    this.address = address;
    this.miners = miners;
    this.blocks = new BlockStore(database);
    this.store = new PayoutStore(database);
    this.#work = new WorkStore(database, {
      defaultScheme: 'pplns',
      isAddress: (name) => miners.includes(name),
    });
    const { rpc } = node;
    this.lifecycle = new BlockLifecycle({
      blocks: this.blocks,
      chain: {
        tipHeight: () => node.height(),
        standings: (hashes) => blockStandings(rpc, hashes),
        coinbaseOutputs: (hash) => rpc.getCoinbaseOutputs(hash),
      },
      subsidySats: (height) => blockSubsidy(height, 'regtest'),
      terms: {
        feePpm: (scheme) => FEE_PPM[scheme],
        windowPermille: WINDOW_PERMILLE,
        defaultScheme: 'pplns',
      },
      onEvent: (event) => this.blockEvents.push(event),
      nowMs: () => Date.now(),
    });
    this.#runner = new PayoutRunner({
      store: this.store,
      wallet: new NodeWallet(rpc, wallet),
      chain: new NodePayoutChain(rpc, 'regtest'),
      thresholdSats: 1_000_000n,
      everyMs: 1,
      confirmationsNeeded: 1,
      onEvent: (event) => this.payoutEvents.push(event),
      nowMs: () => this.#nowMs++,
    });
  }

  /** `miners`: how many accounts. `databaseUrl`: of a migrated, empty database. */
  static async open(node: ChainNode, databaseUrl: string, miners: number): Promise<MoneyPool> {
    const database = openPostgres({ url: databaseUrl, poolSize: 4, timeoutS: 30 });
    const wallet = await node.rpc.openWallet('pool');
    const payees = await node.rpc.openWallet('payees');
    const addresses = [await wallet.getNewAddress('bech32')];
    for (let i = 0; i < miners; i++) addresses.push(await payees.getNewAddress('bech32'));
    await activateLanes(database, { running: [0], former: [] });
    return new MoneyPool(node, database, wallet, addresses);
  }

  async close(): Promise<void> {
    await this.database.end({ timeout: 1 });
  }

  /** `hash` pays our address: it is booked with its finder, after `others`, the work of its round. */
  async book(hash: string, chain: ChainNode, finder: Finder, others: readonly Finder[]): Promise<void> {
    const { height } = await chain.rpc.getBlockHeader(hash);
    const round = this.found.length;
    const minute = ++this.#minute;
    const shares: MoneyShare[] = others.map((who, index) => {
      return { ...who, target: index % 2 === 0 ? TARGET : EASY_TARGET, minute, round };
    });
    shares.push({ ...finder, target: TARGET, minute, round, block: hash });
    const batch = moneyBatch(this.#shares.length + 1, shares, { height, bits: REGTEST_BITS });
    await this.#work.applyBatch(batch);
    for (const { account, scheme, target } of shares) {
      this.#shares.push({ account, scheme, work: hashesOf(target), minute, round });
    }
    const coinbaseSats = await chain.rpc.getCoinbaseSats(hash);
    this.found.push({ hash, round, finder, coinbaseSats });
  }

  /** As the pool does at each step, once. */
  async step(): Promise<void> {
    await this.node.settle();
    await this.lifecycle.step();
    await this.#runner.step();
  }

  async payouts(): Promise<Payout[]> {
    return (await this.store.latestPayouts(100_000)).toReversed();
  }

  /** What the ledger holds: `kind` or `kind account` to satoshis, nothing that is 0. */
  async books(): Promise<Map<string, bigint>> {
    const rows = await this.database<{ kind: string; name: string | null; sats: bigint }[]>`
      select a.kind, m.name, b.balance_sats as sats
      from ledger_accounts a join ledger_balances b on b.ledger_account_id = a.id
      left join accounts m on m.id = a.account_id where b.balance_sats <> 0`;
    return new Map(rows.map(({ kind, name, sats }) => [name === null ? kind : `${kind} ${name}`, sats]));
  }

  /**
   * What the ledger should hold, from nothing: each block of ours that is in the best chain now pays what its shares
   * earned, matured from 101 confirmations on, less what payouts have taken. What was paid of blocks that the chain
   * no longer has is the pool's loss.
   */
  async recomputedBooks(): Promise<Map<string, bigint>> {
    const books = new Map<string, bigint>();
    const add = (name: string, sats: bigint) => books.set(name, (books.get(name) ?? 0n) + sats);
    const terms = {
      windowHashes: (BigInt(WINDOW_PERMILLE) * hashesOf(TARGET)) / 1000n,
      feePpm: (scheme: keyof typeof FEE_PPM) => FEE_PPM[scheme],
    };
    const standings = await blockStandings(
      this.node.rpc,
      this.found.map(({ hash }) => hash),
    );
    for (const [index, block] of this.found.entries()) {
      const confirmations = standings[index]?.confirmations ?? -1;
      if (confirmations < 1) continue;
      const matured = confirmations >= 101;
      const { miners, fee, reserve, remainder } = plainSplit(this.#shares, block, terms);
      for (const [account, sats] of miners) {
        add(`${matured ? 'miner_confirmed' : 'miner_immature'} ${account}`, sats);
      }
      for (const [kind, sats] of [
        ['pool_fee', fee],
        ['reserve', reserve],
        ['remainder', remainder],
      ] as const) {
        add(matured ? kind : `${kind}_immature`, sats);
      }
      add(matured ? 'wallet' : 'coinbase_immature', -block.coinbaseSats);
    }
    for (const { status, outputs, networkFeeSats } of await this.payouts()) {
      if (status !== 'signed' && status !== 'broadcast' && status !== 'confirmed') continue;
      for (const { account, amountSats } of outputs) {
        add(`miner_confirmed ${account}`, -amountSats);
        if (status === 'confirmed') add('wallet', amountSats);
        else add(`miner_in_flight ${account}`, amountSats);
      }
      if (status !== 'confirmed') continue;
      add('wallet', networkFeeSats ?? 0n);
      add('network_fees', -(networkFeeSats ?? 0n));
    }
    for (const miner of this.miners) {
      const owed = books.get(`miner_confirmed ${miner}`) ?? 0n;
      if (owed >= 0n) continue;
      add(`miner_confirmed ${miner}`, -owed);
      add('orphan_loss', owed);
    }
    return new Map([...books].filter(([, sats]) => sats !== 0n));
  }
}
