// What coinbases pay while the pool runs: the plan of now, and the pool alone where there is none.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CoinbasePlan } from '../../engine/accounting/coinbase-outputs.js';
import { isWitnessCommitment } from '../../engine/bitcoin/coinbase.js';
import { concatBytes, parseTransaction } from '../../engine/bitcoin/transaction.js';
import { CoinbasePlanner, poolCoinbase } from '../../engine/coinbase-plan.js';
import { loadConfig } from '../../engine/config/load.js';
import { JobMaker } from '../../engine/job-maker.js';
import type { JobMessage } from '../../engine/stratum/thread-messages.js';
import { DEFAULT_FIRMWARE } from '../../engine/work/firmware-profiles.js';
import { type BlockTemplate, parseTemplate } from '../../engine/work/template.js';
import type { NextBlock, StoredPlan } from '../../storage/postgres/coinbase-plans.js';
import { projectRoot } from '../../storage/project-root.js';

const fixture = JSON.parse(
  readFileSync(join(projectRoot(), 'test/fixtures/regtest-template-161.json'), 'utf8'),
) as { template: unknown };
const template = parseTemplate(fixture.template, 'regtest');
const SUBSIDY = 2_500_000_000n;
const script = new Uint8Array(22).fill(1);
const TAG = '/Millrace/';

const plan = (weights: readonly bigint[], minimumSats = 546n): CoinbasePlan => ({
  parts: weights.map((weight, index) => {
    return { accountId: index + 1, scheme: 'pplns' as const, weight, feePpm: 10_000, donationPpm: 0 };
  }),
  totalWeight: weights.reduce((sum, weight) => sum + weight, 0n),
  poolScript: script,
  direct: weights.map((_, index) => ({
    accountId: index + 1,
    script: new Uint8Array(22).fill(index + 10),
    minimumSats,
  })),
});

function world() {
  const clock = { ms: 0 };
  const said: string[] = [];
  const asked: NextBlock[] = [];
  const store = { answer: (): StoredPlan | null => ({ id: 'a', plan: plan([3n, 1n]) }), takesMs: 0 };
  const planner = new CoinbasePlanner({
    store: {
      async make(block) {
        asked.push(block);
        clock.ms += store.takesMs;
        return store.answer();
      },
    },
    subsidySats: () => SUBSIDY,
    everyMs: 1000,
    nowMs: () => clock.ms,
    log: (level, message) => said.push(`${level} ${message}`),
  });
  let key = 0;
  const jobs = new JobMaker({
    ...{ script, tag: TAG, extranonce1Bytes: 4, extranonce2Bytes: 8, planner },
    keys: { next: () => ++key },
  });
  const renew = async () => {
    planner.renew(template);
    await planner.settle();
  };
  return { clock, said, asked, store, planner, jobs, renew };
}

/** What the coinbase of a job pays, its commitment left out. */
function paid({ coinbase1, coinbase2 }: JobMessage) {
  const { outputs } = parseTransaction(concatBytes([coinbase1, new Uint8Array(12), coinbase2]));
  return outputs
    .filter((output) => !isWitnessCommitment(output.script))
    .map(({ script, sats }) => [script[0], sats]);
}

const POOL_ALONE = [[1, template.coinbaseValue]];

describe('a job', () => {
  it('pays miners by the plan, exactly what the coinbase of its own template is worth', async () => {
    const { jobs, renew, asked } = world();
    expect(paid(jobs.make(template))).toEqual(POOL_ALONE);
    expect(jobs.make(template).plan).toBeUndefined();
    await renew();
    expect(asked[0]).toMatchObject({ height: 161, subsidySats: SUBSIDY, feesSats: 1104n });
    const job = jobs.make(template);
    const [large, small] = [
      (template.coinbaseValue * 3n * 99n) / 400n,
      (template.coinbaseValue * 99n) / 400n,
    ];
    expect(paid(job)).toEqual([
      [1, template.coinbaseValue - large - small],
      [10, large],
      [11, small],
    ]);
    expect(job.plan).toBe('a');
    // On a new tip the fees are others, and so are the amounts, at once.
    const empty: BlockTemplate = { ...template, coinbaseValue: SUBSIDY, fees: 0n, height: 162 };
    expect(paid(jobs.make(empty))).toEqual([
      [1, SUBSIDY / 100n],
      [10, (SUBSIDY * 3n * 99n) / 400n],
      [11, (SUBSIDY * 99n) / 400n],
    ]);
    expect(paid(jobs.make(template))).toEqual(paid(job));
    const dearer = { ...template, coinbaseValue: template.coinbaseValue + 400n };
    expect(paid(jobs.make(dearer))[1]).toEqual([10, large + 297n]);
  });

  it('pays the pool alone, and names no plan, when nobody is owed enough', async () => {
    const { jobs, renew, store } = world();
    store.answer = () => ({ id: 'a', plan: plan([3n, 1n], SUBSIDY) });
    await renew();
    expect(paid(jobs.make(template))).toEqual(POOL_ALONE);
    expect(jobs.make(template).plan).toBeUndefined();
    store.answer = () => null;
    await renew();
    expect(jobs.make(template).plan).toBeUndefined();
  });

  it('pays the pool alone when a coinbase that pays miners does not fit the block; that is said once', async () => {
    const { jobs, renew, said } = world();
    await renew();
    const full = { ...template, weightLimit: template.transactionsWeight + 1100 };
    for (let i = 0; i < 3; i++) {
      const job = jobs.make(full);
      expect(paid(job)).toEqual(POOL_ALONE);
      expect(job.plan).toBeUndefined();
    }
    expect(said).toHaveLength(1);
    expect(said[0]).toContain('blockreservedweight');
    expect(jobs.make(template).plan).toBe('a');
  });
});

describe('plans', () => {
  it('are made one at a time, not more often than asked, and seldom when they take long', async () => {
    const { clock, asked, renew, planner, store } = world();
    planner.renew(template);
    planner.renew(template);
    await planner.settle();
    expect(asked).toHaveLength(1);
    clock.ms = 999;
    await renew();
    expect(asked).toHaveLength(1);
    clock.ms = 1000;
    store.takesMs = 500;
    await renew();
    expect(asked).toHaveLength(2);
    clock.ms = 10_999;
    await renew();
    expect(asked).toHaveLength(2);
    clock.ms = 11_000;
    await renew();
    expect(asked).toHaveLength(3);
  });

  it('that cannot be renewed hold for ten minutes, then the pool alone is paid; both ends are said once', async () => {
    const { clock, jobs, renew, said, store } = world();
    await renew();
    const answer = store.answer;
    store.answer = () => {
      throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    };
    for (clock.ms = 60_000; clock.ms <= 600_000; clock.ms += 60_000) {
      await renew();
      expect(jobs.make(template).plan).toBe('a');
    }
    expect(said).toEqual([expect.stringMatching(/^warn coinbases cannot be planned: Postgres refuses/)]);
    clock.ms = 600_001;
    expect(paid(jobs.make(template))).toEqual(POOL_ALONE);
    store.answer = answer;
    clock.ms = 700_000;
    await renew();
    expect(jobs.make(template).plan).toBe('a');
    expect(said).toEqual([expect.anything(), 'info coinbases are planned again']);
  });
});

describe('the coinbase of the pool alone', () => {
  it('is as long as jobs make it, with room for any height', () => {
    const { jobs } = world();
    const { coinbase1, coinbase2 } = jobs.make(template);
    const { baseBytes, baseOutputs } = poolCoinbase({ script, tag: TAG, extranonceBytes: 12 });
    // Height 161 is pushed with 3 bytes, the greatest with 5.
    expect(baseBytes).toBe(coinbase1.length + 12 + coinbase2.length + 2);
    expect(baseOutputs).toBe(2);
  });
});

describe('settings', () => {
  const load = (env: Record<string, string>) => loadConfig({ argv: [], env, cwd: '/nowhere' });

  it('let coinbases be as long as firmware takes of which nothing is known', () => {
    const loaded = load({ NETWORK: 'private' });
    expect(loaded).toMatchObject({
      config: { coinbasePays: 'pool', coinbaseBytesMax: DEFAULT_FIRMWARE.coinbaseBytesMax },
    });
  });

  it('refuse coinbases for miners together with SOLO, of the pool or of a port', () => {
    const pays = { NETWORK: 'private', COINBASE_PAYS: 'miners' };
    expect(load(pays)).toMatchObject({ config: { coinbasePays: 'miners' } });
    const expected = expect.stringContaining('exclude each other');
    expect(load({ ...pays, PAYOUT_SCHEME: 'solo' })).toMatchObject({
      errors: [{ key: 'PAYOUT_SCHEME', expected }],
    });
    expect(load({ ...pays, STRATUM_PORTS: '4444?scheme=solo' })).toMatchObject({
      errors: [{ key: 'STRATUM_PORTS', expected }],
    });
  });
});
