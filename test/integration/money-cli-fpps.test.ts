// A whole pool that pays FPPS, with its reserve filled by the operator's command: shares are paid at once, and when the
// reserve falls below its limit, the announced fall-back records new shares as PPLNS.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SCHEME_RULES } from '../../engine/accounting/schemes.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { LedgerStore } from '../../storage/postgres/ledger-store.js';
import { embeddedPostgresUrl } from './embedded-postgres-url.js';
import { millrace } from './money-commands.js';
import { PoolProcess, temporaryFolder } from './pool-process.js';

const MINUTES = 60_000;
const BTC = 100_000_000n;
/** Some blocks' worth: a few minutes of the simulated miners. */
const FUNDED = 2000n * BTC;
const EVA = ['--actor', 'eva', '--reason', 'a reserve for FPPS'];

interface PoolBooks {
  mode: string;
  reserve: { reserveSats: string; capitalSats: string };
  owed: { sats: string; shares: string };
  ruinProbability: number | null;
  sumSats: string;
  mismatches: number;
  lines: { kind: string; transaction: string; rule: string; inputs: { parts?: { scheme: string }[] } }[];
}

describe('a pool that pays FPPS out of a funded reserve', () => {
  const dataDir = temporaryFolder();
  const env = {
    PAYOUT_SCHEME: 'fpps',
    EXPECTED_PAY_INTERVAL: '1',
    RESERVE_LIMIT: String(1000n * BTC),
    // Coins of the first block mature long after this test.
    PAYOUT_FREQUENCY: '2592000',
  };
  let pool: PoolProcess;
  let database: Database;

  beforeAll(async () => {
    pool = await PoolProcess.start([], { dataDir, env });
    database = openPostgres({ url: embeddedPostgresUrl(dataDir), poolSize: 1, timeoutS: 10 });
  }, 3 * MINUTES);
  afterAll(async () => {
    await database?.end({ timeout: 1 });
    await pool?.stop();
    pool?.remove();
  }, MINUTES);

  const says = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await millrace(args, { ...env, DATA_DIR: dataDir });
    expect({ code, err }, args.join(' ')).toEqual({ code: 0, err: '' });
    return out;
  };
  const books = async () => JSON.parse(await says('ledger', 'pool', '--json', '--limit', '500')) as PoolBooks;
  const announced = (mode: string) =>
    pool.log.filter((line) => line.event === 'reserve_mode' && line.mode === mode);
  /** Accepted shares in ClickHouse by scheme. */
  const recorded = async () => {
    const rows = await pool.sql('SELECT scheme, count() FROM shares GROUP BY scheme FORMAT TSV');
    return new Map(
      rows
        .split('\n')
        .filter(Boolean)
        .map((row) => row.split('\t') as [string, string]),
    );
  };

  it(
    'records shares as PPLNS before anybody filled the reserve, and says so',
    async () => {
      await pool.until('shares are recorded', async () => (await recorded()).has('pplns'));
      expect([...(await recorded()).keys()]).toEqual(['pplns']);
      expect(announced('fall_back')).toHaveLength(1);
      expect(await says('ledger', 'pool')).toContain('fall back: new shares of pps, ppsplus and fpps');
      expect((await books()).owed).toMatchObject({ sats: '0', shares: '0' });
    },
    2 * MINUTES,
  );

  it(
    'pays each share at once when the reserve is funded',
    async () => {
      expect(await says('ledger', 'deposit', '--sats', String(FUNDED), '--key', '1', ...EVA)).toContain(
        `Deposited ${FUNDED} sat`,
      );
      expect(await says('ledger', 'fund', '--sats', String(FUNDED), '--key', '1', ...EVA)).toContain(
        `The reserve holds ${FUNDED} sat`,
      );
      await pool.until('the chosen schemes return', () => announced('covered').length === 1);
      await pool.until('shares are paid', async () => (await paidShares(database)) > 0n);
      const { mode, reserve, ruinProbability, sumSats, mismatches, lines } = await books();
      expect({ mode, sumSats, mismatches }).toEqual({ mode: 'covered', sumSats: '0', mismatches: 0 });
      expect(BigInt(reserve.reserveSats)).toBeLessThan(FUNDED);
      expect(reserve.capitalSats).toBe('0');
      expect(ruinProbability).toBeGreaterThan(0);
      expect(lines.find(({ kind }) => kind === 'reserve')?.transaction).toBe('expected_pay');
      // A miner has it, confirmed, long before any block of ours has matured.
      const [miner] = await new LedgerStore(database).balances(1);
      expect(miner?.confirmedSats).toBeGreaterThan(0n);
      expect((await pool.stats()).blocks.confirmed).toBe(0);
      const account = await says('ledger', 'account', miner?.account ?? '');
      expect(account).toMatch(/miner_confirmed +\d+ sat/);
      expect(account).toMatch(/Z {2}miner_confirmed +\+\d+ +\d+ {2}/);
      expect(account).toContain(SCHEME_RULES.fpps);
    },
    2 * MINUTES,
  );

  it(
    'falls back, announced, when the reserve is below its limit, and pays what was recorded before',
    async () => {
      await pool.until(
        'the reserve fell below its limit',
        () => announced('fall_back').length === 2,
        4 * MINUTES,
      );
      const [, again] = announced('fall_back');
      expect(again?.msg).toContain('new shares of PPS, PPS+ and FPPS are recorded as PPLNS');
      await pool.until('nothing of FPPS is owed', async () => (await books()).owed.shares === '0');
      const before = await recorded();
      await pool.until('new shares are there', async () => {
        const now = await recorded();
        return Number(now.get('pplns')) > Number(before.get('pplns')) + 5;
      });
      const after = await recorded();
      // Those that a batch under way still carried were recorded, and paid, as chosen.
      await pool.until('nothing of FPPS is owed', async () => (await books()).owed.shares === '0');
      expect(await paidShares(database)).toBe(BigInt(after.get('fpps') ?? 0));
      const { mode, reserve, sumSats } = await books();
      expect({ mode, sumSats }).toEqual({ mode: 'fall_back', sumSats: '0' });
      expect(BigInt(reserve.reserveSats)).toBeGreaterThanOrEqual(0n);
      expect(await says('ledger', 'audit')).toMatch(/pool {2}reserve_fall_back reserve: The reserve of \d+/);
    },
    6 * MINUTES,
  );
});

/** Accepted shares that expected pay covered. */
async function paidShares(database: Database): Promise<bigint> {
  const [row] = await database<{ shares: bigint }[]>`
    select coalesce(sum((work->>'shares')::bigint), 0)::bigint as shares
    from ledger_transactions, jsonb_array_elements(inputs->'parts') part, jsonb_array_elements(part->'work') work
    where kind = 'expected_pay'`;
  return row?.shares ?? 0n;
}
