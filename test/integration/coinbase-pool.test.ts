// A whole pool whose coinbases pay miners straight: real node, real stores, miners that really hash; killed and started
// again.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NodeRpc } from '../../engine/node/rpc.js';
import { parseRpcUrl } from '../../engine/node/rpc-endpoint.js';
import { type RunningBitcoind, startBitcoind } from '../../storage/embedded/bitcoind.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { projectRoot } from '../../storage/project-root.js';
import { embeddedPostgresUrl } from './embedded-postgres-url.js';
import { booksBalance } from './payout-world.js';
import { PoolProcess, temporaryFolder } from './pool-process.js';

const MINUTES = 60_000;

interface PaidBlock {
  hash: string;
  coinbase: bigint;
  direct: bigint;
  payments: bigint;
}

describe('a pool with COINBASE_PAYS=miners', () => {
  const dataDir = temporaryFolder();
  let node: RunningBitcoind;
  let rpc: NodeRpc;
  let pool: PoolProcess;
  let env: Record<string, string>;

  beforeAll(async () => {
    const nodeDir = join(dataDir, 'node');
    mkdirSync(nodeDir);
    const cache = process.env.MILLRACE_CACHE_DIR ?? join(projectRoot(), '.millrace', 'cache');
    node = await startBitcoind({
      ...{ dataDir: nodeDir, network: 'private', log: () => {} },
      env: { ...process.env, MILLRACE_CACHE_DIR: cache },
    });
    rpc = new NodeRpc({ endpoint: parseRpcUrl(node.rpcUrl, node.cookieFile) });
    const url = new URL(node.rpcUrl);
    [url.username = '', url.password = ''] = readFileSync(node.cookieFile, 'utf8').trim().split(':');
    env = { COINBASE_PAYS: 'miners', BITCOIN_RPC_URL: url.href, JOB_REFRESH_INTERVAL: '1' };
    pool = await PoolProcess.start([], { dataDir, env });
  }, 3 * MINUTES);
  afterAll(async () => {
    await pool.stop();
    rpc.close();
    await node.stop();
    pool.remove();
  }, MINUTES);

  async function reading<T>(read: (database: Database) => Promise<T>): Promise<T> {
    const database = openPostgres({ url: embeddedPostgresUrl(dataDir), poolSize: 1, timeoutS: 10 });
    try {
      return await read(database);
    } finally {
      await database.end({ timeout: 1 });
    }
  }

  const paidBlocks = () =>
    reading(
      (database) => database<PaidBlock[]>`
        select b.hash, b.coinbase_sats as coinbase, sum(p.amount_sats)::bigint as direct, count(*) as payments
        from blocks b join coinbase_payments p on p.block_hash = b.hash
        where b.status in ('immature', 'confirmed') group by b.hash order by b.height desc`,
    );

  const whenPaid = (blocks: number) =>
    pool.until(
      `${blocks} blocks paid miners`,
      async () => (await paidBlocks()).length >= blocks,
      2 * MINUTES,
    );

  it(
    'finds blocks that pay both simulated accounts, and the node agrees with each of them',
    async () => {
      await whenPaid(3);
      const blocks = await paidBlocks();
      expect(blocks.some(({ payments }) => payments === 2n)).toBe(true);
      for (const { hash, coinbase, direct } of blocks) {
        const outputs = await rpc.getCoinbaseOutputs(hash);
        const [ofPool, ...others] = outputs.filter(({ sats }) => sats > 0n);
        expect(others.reduce((sum, { sats }) => sum + sats, 0n)).toBe(direct);
        expect(ofPool?.sats).toBe(coinbase - direct);
      }
    },
    3 * MINUTES,
  );

  it(
    'goes on after kill -9, and its books balance',
    async () => {
      const before = (await paidBlocks()).length;
      await pool.stop('SIGKILL');
      pool = await PoolProcess.start([], { dataDir, env });
      await whenPaid(before + 2);
      await reading(booksBalance);
      expect((await pool.stats()).balances).toMatchObject({
        ledger_imbalance_sats: '0',
        ledger_mismatches: 0,
      });
      const warnings = pool.log.filter(({ level }) => Number(level) >= 50).map(({ msg }) => msg);
      expect(warnings).toEqual([]);
    },
    4 * MINUTES,
  );
});
