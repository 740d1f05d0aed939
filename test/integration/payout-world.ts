// A regtest node with a funded pool wallet, a wallet of payees and an embedded Postgres: what payout tests run on.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeRpc } from '../../engine/node/rpc.js';
import { parseRpcUrl } from '../../engine/node/rpc-endpoint.js';
import type { WalletRpc } from '../../engine/node/wallet-rpc.js';
import { type RunningBitcoind, startBitcoind } from '../../storage/embedded/bitcoind.js';
import { startPostgres } from '../../storage/embedded/postgres.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { LedgerStore, postLedger } from '../../storage/postgres/ledger-store.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import { projectRoot } from '../../storage/project-root.js';

export interface PayoutWorld {
  node: RunningBitcoind;
  rpc: NodeRpc;
  poolWallet: WalletRpc;
  payees: WalletRpc;
  /** A new, migrated database. */
  newDatabase(): Promise<string>;
  /** Any call, as the node answers it; `wallet` '' is the node itself. */
  call<T>(method: string, params?: unknown[], wallet?: string): Promise<T>;
  /** A wallet `name` that knows the P2WPKH scripts of `of`, but no key. */
  watch(of: string, name: string): Promise<void>;
  /** Mines one block with everything in the mempool, or with nothing. */
  mine(what?: 'all' | 'nothing'): Promise<void>;
  /** What an address received in the best chain, in satoshis, and in how many payments. */
  received(address: string): Promise<{ sats: bigint; payments: number }>;
  stop(): Promise<void>;
}

export async function startPayoutWorld(): Promise<PayoutWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-payouts-'));
  const env = {
    ...process.env,
    MILLRACE_CACHE_DIR: process.env.MILLRACE_CACHE_DIR ?? join(projectRoot(), '.millrace', 'cache'),
  };
  const [node, postgres] = await Promise.all([
    startBitcoind({ dataDir: join(folder, 'node'), network: 'regtest', env, log: () => {} }),
    startPostgres({ dataDir: join(folder, 'postgres'), log: () => {} }),
  ]);
  const rpc = new NodeRpc({ endpoint: parseRpcUrl(node.rpcUrl, node.cookieFile) });
  const admin = openPostgres({ url: postgres.url, poolSize: 1, timeoutS: 10 });
  const poolWallet = await rpc.openWallet('pool');
  const payees = await rpc.openWallet('payees');
  const miner = await poolWallet.getNewAddress('bech32');
  await rpc.generateToAddress(110, miner);
  let databases = 0;

  const call = async <T>(method: string, params: unknown[] = [], wallet = ''): Promise<T> => {
    const auth = Buffer.from(readFileSync(node.cookieFile, 'utf8').trim()).toString('base64');
    const answer = await fetch(`${node.rpcUrl}${wallet === '' ? '' : `/wallet/${wallet}`}`, {
      method: 'POST',
      headers: { authorization: `Basic ${auth}` },
      body: JSON.stringify({ id: 1, method, params }),
    });
    const { result, error } = (await answer.json()) as { result: T; error: unknown };
    if (error !== null) throw new Error(`${method}: ${JSON.stringify(error)}`);
    return result;
  };

  return {
    node,
    rpc,
    poolWallet,
    payees,
    call,
    async newDatabase() {
      const name = `payouts${++databases}`;
      await admin.unsafe(`create database ${name}`);
      const url = new URL(postgres.url);
      url.pathname = `/${name}`;
      const database = openPostgres({ url: url.href, poolSize: 1, timeoutS: 10 });
      await migratePostgres(database);
      await database.end({ timeout: 1 });
      return url.href;
    },
    async watch(of, name) {
      await call('createwallet', [name, true, true, '', false, true]);
      const listed = await call<{ descriptors: { desc: string; active: boolean }[] }>(
        'listdescriptors',
        [],
        of,
      );
      const watched = listed.descriptors.filter(({ active, desc }) => active && desc.startsWith('wpkh('));
      await call(
        'importdescriptors',
        [watched.map((descriptor) => ({ ...descriptor, timestamp: 0, range: [0, 2000] }))],
        name,
      );
    },
    async mine(what = 'all') {
      if (what === 'all') await rpc.generateToAddress(1, miner);
      else await call('generateblock', [miner, []]);
      // The wallet hears of a block a moment after the chain moved.
      await call('syncwithvalidationinterfacequeue');
    },
    async received(address) {
      const [entry] = await call<{ amount: number; txids: string[] }[]>(
        'listreceivedbyaddress',
        [1, false, true, address],
        'payees',
      );
      return {
        sats: entry === undefined ? 0n : BigInt(Math.round(entry.amount * 1e8)),
        payments: entry?.txids.length ?? 0,
      };
    },
    async stop() {
      rpc.close();
      await admin.end({ timeout: 1 });
      await Promise.all([node.stop(), postgres.stop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Gives an account of this name a confirmed balance; returns its id. */
export async function credit(database: Database, name: string, sats: bigint): Promise<number> {
  return await database.begin(async (tx) => {
    const [row] = await tx<{ id: number }[]>`
      insert into accounts (name, is_address) values (${name}, true)
      on conflict (name) do update set name = excluded.name returning id`;
    const id = row?.id ?? 0;
    await postLedger(tx, {
      kind: 'adjustment',
      key: `test:${name}:${sats}:${Math.random()}`,
      rule: 'a balance for a test',
      inputs: {},
      lines: [
        { kind: 'wallet', accountId: null, amountSats: -sats },
        { kind: 'miner_confirmed', accountId: id, amountSats: sats },
      ],
    });
    return id;
  });
}

/** Throws when the books do not balance, or a balance is not the sum of its lines. */
export async function booksBalance(database: Database) {
  const totals = await new LedgerStore(database).totals();
  if (totals.sumSats !== 0n || totals.mismatches !== 0) {
    throw new Error(`the books are off: sum ${totals.sumSats}, ${totals.mismatches} mismatches`);
  }
  return totals.balances;
}
