// Two regtest nodes without peers and an embedded Postgres: what reorg tests run on. The rival's longer chain reaches
// ours block by block, oldest first, as after a cut line: our node then reorganizes by itself.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeRpc } from '../../engine/node/rpc.js';
import { parseRpcUrl } from '../../engine/node/rpc-endpoint.js';
import { type RunningBitcoind, startBitcoind } from '../../storage/embedded/bitcoind.js';
import { startPostgres } from '../../storage/embedded/postgres.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import { projectRoot } from '../../storage/project-root.js';

export class ChainNode {
  readonly rpc: NodeRpc;
  readonly #node: RunningBitcoind;

  constructor(node: RunningBitcoind) {
    this.#node = node;
    this.rpc = new NodeRpc({ endpoint: parseRpcUrl(node.rpcUrl, node.cookieFile) });
  }

  /** Any call, as the node answers it; `wallet` '' is the node itself. */
  async call<T>(method: string, params: unknown[] = [], wallet = ''): Promise<T> {
    const auth = Buffer.from(readFileSync(this.#node.cookieFile, 'utf8').trim()).toString('base64');
    const answer = await fetch(`${this.#node.rpcUrl}${wallet === '' ? '' : `/wallet/${wallet}`}`, {
      method: 'POST',
      headers: { authorization: `Basic ${auth}` },
      body: JSON.stringify({ id: 1, method, params }),
    });
    const { result, error } = (await answer.json()) as { result: T; error: unknown };
    if (error !== null) throw new Error(`${method}: ${JSON.stringify(error)}`);
    return result;
  }

  async height(): Promise<number> {
    return (await this.rpc.getBlockchainInfo()).blocks;
  }

  /** One block that pays `address`: with everything in the mempool, or with nothing. */
  async mine(address: string, what: 'all' | 'nothing' = 'all'): Promise<string> {
    if (what === 'nothing') {
      return (await this.call<{ hash: string }>('generateblock', [address, []])).hash;
    }
    const [hash] = await this.rpc.generateToAddress(1, address);
    if (hash === undefined) throw new Error('the node mined no block');
    return hash;
  }

  /** The wallets hear of a block a moment after the chain moved. */
  async settle(): Promise<void> {
    await this.call('syncwithvalidationinterfacequeue');
  }

  /** Blocks of the best chain above height `from`, oldest first. */
  async hashesAbove(from: number): Promise<string[]> {
    const hashes: string[] = [];
    for (let at = from + 1; at <= (await this.height()); at++) hashes.push(await this.rpc.getBlockHash(at));
    return hashes;
  }

  /** Hands `hashes` of `other` to this node, as a peer would. */
  async hear(other: ChainNode, hashes: readonly string[]): Promise<void> {
    for (const hash of hashes) {
      const answer = await this.rpc.submitBlock(await other.call<string>('getblock', [hash, 0]));
      if (answer !== null && answer !== 'inconclusive' && answer !== 'duplicate') {
        throw new Error(`block ${hash} was refused: ${answer}`);
      }
    }
    await this.settle();
  }

  async stop(): Promise<void> {
    this.rpc.close();
    await this.#node.stop();
  }
}

export interface MoneyNodes {
  /** The pool's own node, with its wallet `pool` and the payees' wallet `payees`. */
  ours: ChainNode;
  rival: ChainNode;
  stop(): Promise<void>;
}

/** Two nodes at the genesis block. */
export async function startMoneyNodes(): Promise<MoneyNodes> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-reorgs-'));
  const env = {
    ...process.env,
    MILLRACE_CACHE_DIR: process.env.MILLRACE_CACHE_DIR ?? join(projectRoot(), '.millrace', 'cache'),
  };
  const [ours, rival] = (await Promise.all(
    ['ours', 'rival'].map(async (name) => {
      const dataDir = join(folder, name);
      return new ChainNode(await startBitcoind({ dataDir, network: 'regtest', env, log: () => {} }));
    }),
  )) as [ChainNode, ChainNode];
  return {
    ours,
    rival,
    async stop() {
      await Promise.all([ours.stop(), rival.stop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface MoneyDatabases {
  /** The URL of a new, migrated database. */
  create(): Promise<string>;
  stop(): Promise<void>;
}

/** An embedded Postgres that gives out migrated databases. */
export async function startMoneyDatabases(): Promise<MoneyDatabases> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-money-'));
  const server = await startPostgres({ dataDir: folder, log: () => {} });
  const admin: Database = openPostgres({ url: server.url, poolSize: 1, timeoutS: 30 });
  let count = 0;
  return {
    async create() {
      const name = `money${++count}`;
      await admin.unsafe(`create database ${name}`);
      const url = new URL(server.url);
      url.pathname = `/${name}`;
      const database = openPostgres({ url: url.href, poolSize: 1, timeoutS: 30 });
      await migratePostgres(database);
      await database.end({ timeout: 1 });
      return url.href;
    },
    async stop() {
      await admin.end({ timeout: 1 });
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
