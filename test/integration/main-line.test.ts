// The main job end to end, as a newcomer sees it: real node, real PostgreSQL, real ClickHouse engine, simulated
// miners that really hash. One pool on the private signet is started, mined on until the first coins have
// matured and were paid out, killed, and started again on the same data.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPostgres } from '../../storage/postgres/connection.js';
import { LedgerStore } from '../../storage/postgres/ledger-store.js';
import { embeddedPostgresUrl } from './embedded-postgres-url.js';
import { PoolProcess, temporaryFolder } from './pool-process.js';

const MINUTES = 60_000;

describe('npm start with nothing configured', () => {
  const dataDir = temporaryFolder();
  let pool: PoolProcess;

  beforeAll(async () => {
    pool = await PoolProcess.start([], { dataDir, env: { PAYOUT_FREQUENCY: '5' } });
  }, 3 * MINUTES);
  afterAll(async () => {
    await pool.stop();
    pool.remove();
  }, MINUTES);

  it(
    'is healthy and finds blocks that the node accepts',
    async () => {
      await pool.until('three blocks are credited', async () => (await pool.stats()).blocks.immature >= 3);
      const { status, body } = await pool.health();
      expect(body).toMatchObject({ status: 'ok' });
      expect(status).toBe(200);
      const { stratum, network, node } = await pool.stats();
      expect(network).toBe('private');
      expect(node.chain).toBe('signet');
      expect(stratum.workers).toBe(3);
      expect(node.height).toBeGreaterThanOrEqual(3);
    },
    MINUTES,
  );

  it(
    'matures coins at 101 confirmations and pays them out',
    async () => {
      await pool.until(
        'a block matured and a payout confirmed',
        async () => {
          const { blocks, payouts } = await pool.stats();
          return blocks.confirmed >= 1 && payouts.by_status.confirmed >= 1;
        },
        5 * MINUTES,
      );
      const { balances } = await pool.stats();
      expect(BigInt(balances.paid_sats)).toBeGreaterThan(0n);
      expect(balances.ledger_imbalance_sats).toBe('0');
      expect(balances.ledger_mismatches).toBe(0);
    },
    6 * MINUTES,
  );

  it(
    'has each share that was answered true once in the journal, in ClickHouse and in Postgres',
    async () => {
      let seen: unknown;
      await pool
        .until('a moment without shares on the way', async () => {
          const { shares } = await pool.stats();
          const [rows] = (await pool.sql('SELECT count(), sum(difficulty) FROM shares')).split('\t');
          seen = { rows, shares };
          return (
            Number(rows) === shares.answered_true &&
            shares.clickhouse_rows === shares.answered_true &&
            shares.postgres_accepted === shares.answered_true &&
            shares.difference === 0
          );
        })
        .catch((error: Error) => {
          throw new Error(`${error.message}\n${JSON.stringify(seen)}`);
        });
    },
    2 * MINUTES,
  );

  it('keeps a ledger that sums to zero and agrees with /api/stats and /metrics', async () => {
    const database = openPostgres({ url: embeddedPostgresUrl(dataDir), poolSize: 1, timeoutS: 10 });
    try {
      const totals = await new LedgerStore(database).totals();
      expect(totals.sumSats).toBe(0n);
      expect(totals.mismatches).toBe(0);
      const [unbalanced] = await database<{ count: bigint }[]>`
        select count(*) from (
          select transaction_id from ledger_lines group by 1 having sum(amount_sats) <> 0) wrong`;
      expect(unbalanced?.count).toBe(0n);
      const [matured] = await database<{ count: bigint; sats: bigint }[]>`
        select count(*), coalesce(sum(coinbase_sats), 0)::bigint as sats from blocks where status = 'confirmed'`;
      expect(matured?.count).toBeGreaterThan(0n);
      // All that a block paid is somebody's: miners, fee, remainder.
      const [credited] = await database<{ sats: bigint }[]>`
        select sum(l.amount_sats)::bigint as sats from ledger_lines l
        join ledger_transactions t on t.id = l.transaction_id
        join ledger_accounts a on a.id = l.ledger_account_id
        where t.kind = 'block_mature' and a.kind in ('miner_confirmed', 'pool_fee', 'remainder')`;
      const [now] = await database<{ sats: bigint }[]>`
        select coalesce(sum(coinbase_sats), 0)::bigint as sats from blocks where status = 'confirmed'`;
      expect(credited?.sats).toBe(now?.sats);
    } finally {
      await database.end();
    }
    const metrics = await pool.metrics();
    expect(metrics).toMatch(/^pool_ledger_imbalance_sats 0$/m);
    expect(metrics).toMatch(/^pool_shares_total\{[^}]*result="accepted"[^}]*\} \d+$/m);
  });

  it('answers the SQL of an analyst: who mined how much, and what became of every submit', async () => {
    const workers = await pool.sql(
      'SELECT account, worker, count() AS shares, sum(difficulty) FROM shares GROUP BY ALL ORDER BY shares DESC FORMAT JSONEachRow',
    );
    expect(workers.split('\n').length).toBe(3);
    const verdicts = await pool.sql('SELECT DISTINCT verdict FROM submits ORDER BY verdict');
    expect(verdicts).toContain('accepted');
    await expect(pool.sql('INSERT INTO shares SELECT * FROM shares')).rejects.toThrow();
  });

  it(
    'loses nothing by kill -9: the next start finds its children, its chain, its shares and its balances',
    async () => {
      const before = await pool.stats();
      await pool.stop('SIGKILL');
      pool = await PoolProcess.start(['--sim-miners', '1'], { dataDir });
      await pool.until('the pool serves again', async () => (await pool.health()).status === 200);
      await pool.until('every share is in both stores', async () => {
        const { shares } = await pool.stats();
        return (
          shares.difference === 0 &&
          shares.clickhouse_rows === shares.answered_true &&
          shares.postgres_accepted === shares.answered_true
        );
      });
      const after = await pool.stats();
      expect(after.shares.answered_true).toBeGreaterThanOrEqual(before.shares.answered_true);
      expect(after.node.height).toBeGreaterThanOrEqual(before.node.height);
      expect(after.blocks.confirmed).toBeGreaterThanOrEqual(before.blocks.confirmed);
      expect(BigInt(after.balances.paid_sats)).toBeGreaterThanOrEqual(BigInt(before.balances.paid_sats));
      expect(after.shares.difference).toBe(0);
    },
    3 * MINUTES,
  );

  it(
    'ends on SIGTERM with exit code 0 and leaves no process behind',
    async () => {
      const children = await childrenOf(pool.pid);
      expect(children.length).toBeGreaterThanOrEqual(4);
      expect(await pool.stop('SIGTERM')).toBe(0);
      for (const pid of children) expect(isAlive(pid), `process ${pid}`).toBe(false);
    },
    MINUTES,
  );
});

async function childrenOf(pid: number): Promise<number[]> {
  const { readFileSync, readdirSync } = await import('node:fs');
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
