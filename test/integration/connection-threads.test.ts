// A pool with two connection threads: miners on both, blocks found by both, one set of books. Killed, and started again
// with one thread: what the other thread left in its journal is still delivered and still pays.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../storage/project-root.js';
import { PoolProcess, temporaryFolder } from './pool-process.js';

const MINUTES = 60_000;
const MINERS = ['--sim-miners', '2'];

describe('CONNECTION_THREADS=2', () => {
  const dataDir = temporaryFolder();
  let pool: PoolProcess;
  let others: ChildProcess | null = null;

  beforeAll(async () => {
    pool = await PoolProcess.start(MINERS, { dataDir, env: { CONNECTION_THREADS: '2' } });
  }, 3 * MINUTES);
  afterAll(async () => {
    others?.kill();
    await pool.stop();
    pool.remove();
  }, MINUTES);

  const sharesByNode = async (): Promise<Map<string, number>> => {
    const text = await pool.sql('SELECT node, count() FROM shares GROUP BY node ORDER BY node');
    const rows = text.split('\n').filter((line) => line !== '');
    return new Map(rows.map((row) => row.split('\t') as [string, string]).map(([id, n]) => [id, Number(n)]));
  };
  const agree = async (): Promise<boolean> => {
    const { shares } = await pool.stats();
    const { clickhouse_rows: clickhouse, postgres_accepted: postgres, answered_true: answered } = shares;
    return clickhouse === answered && postgres === answered && shares.difference === 0;
  };

  it(
    'serves miners on both, and credits the blocks of both',
    async () => {
      const { urls } = (await pool.stats()).stratum;
      const ports = urls.map((url) => new URL(url).port);
      expect(new Set(ports).size).toBe(2);
      const program = join(projectRoot(), 'dist', 'loadtest', 'sim-miners.js');
      const where = ['--host', '127.0.0.1', '--port', String(ports[1])];
      others = spawn(
        process.execPath,
        [program, ...where, '--account', 'carol', '--miners', '1', '--hashrate', '1500000'],
        { stdio: 'ignore' },
      );
      await pool.until(
        'both threads found a block',
        async () => {
          const { blocks } = await pool.stats();
          const finders = new Set(blocks.last.map(({ finder }) => finder));
          return [...finders].some((finder) => finder.startsWith('carol')) && finders.size >= 2;
        },
        2 * MINUTES,
      );
      const byNode = await sharesByNode();
      expect([...byNode.keys()]).toEqual(['1', '2']);
      await pool.until('the stores agree with both journals', agree, MINUTES);
      expect((await pool.stats()).stratum.workers).toBe(3);
    },
    4 * MINUTES,
  );

  it(
    'delivers and pays what a thread left behind that runs no more',
    async () => {
      others?.kill();
      const before = (await sharesByNode()).get('2') ?? 0;
      await pool.stop('SIGKILL');
      pool = await PoolProcess.start(MINERS, { dataDir, env: { CONNECTION_THREADS: '1' } });
      const { blocks } = await pool.stats();
      const had = blocks.immature + blocks.confirmed;
      await pool.until(
        'a block is credited with one lane gone',
        async () => {
          const now = (await pool.stats()).blocks;
          return now.immature + now.confirmed > had;
        },
        2 * MINUTES,
      );
      await pool.until('the stores agree with both journals', agree, MINUTES);
      const byNode = await sharesByNode();
      expect(byNode.get('2')).toBeGreaterThanOrEqual(before);
      const { balances } = await pool.stats();
      expect(balances.ledger_imbalance_sats).toBe('0');
      expect(balances.ledger_mismatches).toBe(0);
    },
    5 * MINUTES,
  );
});
