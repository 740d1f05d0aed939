// Any pool verifies to the satoshi: random shares of random schemes, targets, minutes, lanes and heights, posted by the
// real stores, recomputed from ClickHouse by the verification's own arithmetic.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SCHEMES } from '../../engine/accounting/schemes.js';
import { TEST_JOB, TEST_TARGET } from '../fixtures/journal-batch.js';
import { LANES, startVerifyServers, type VerifyServers } from './verify-world.js';

const HARDER = 0x1c7fff80;
let servers: VerifyServers;

beforeAll(async () => {
  servers = await startVerifyServers();
}, 120_000);
afterAll(async () => {
  await servers?.stop();
});

const share = fc.record({
  lane: fc.constantFrom(...LANES),
  account: fc.constantFrom('alice', 'bob', 'carol', 'dave', 'erin'),
  scheme: fc.constantFrom(...SCHEMES),
  // Works that do not divide each other.
  target: fc.bigInt({ min: TEST_TARGET / 9n, max: TEST_TARGET }),
  verdict: fc.oneof(
    { weight: 9, arbitrary: fc.constant('accepted' as const) },
    fc.constant('stale' as const),
  ),
  bits: fc.constantFrom(TEST_JOB.bits, HARDER),
});

const step = fc.oneof(
  { weight: 40, arbitrary: fc.record({ what: fc.constant('share' as const), share }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('block' as const), share }) },
  {
    weight: 6,
    arbitrary: fc.record({ what: fc.constant('time' as const), ms: fc.integer({ min: 1000, max: 150_000 }) }),
  },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('pay' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      what: fc.constant('settings' as const),
      account: fc.constantFrom('alice', 'bob'),
      feePpm: fc.option(fc.integer({ min: 0, max: 100_000 })),
      donationPpm: fc.option(fc.integer({ min: 0, max: 300_000 })),
    }),
  },
);

describe('verification of random pools', () => {
  it('recomputes every credit to the satoshi', { timeout: 300_000 }, async () => {
    let credits = 0;
    let longWindows = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 150, maxLength: 260 }), async (steps) => {
        const pool = await servers.newPool();
        try {
          await pool.fund(1_000_000_000_000n);
          await pool.averages.store(
            0,
            Array.from({ length: 144 }, (_, i) => BigInt(i * 97)),
            'ab'.repeat(32),
          );
          let height = 140;
          for (const each of steps) {
            if (each.what === 'share') pool.take({ ...each.share, height });
            else if (each.what === 'time') pool.nowMs += each.ms;
            else if (each.what === 'block') {
              const hash = pool.take({
                ...each.share,
                height,
                bits: TEST_JOB.bits,
                verdict: 'accepted',
                block: true,
              });
              await pool.ship(17);
              expect(await pool.credit(hash ?? '', height)).toBe('credited');
              height += 2;
            } else if (each.what === 'pay') {
              await pool.ship(23);
              await pool.payExpected();
            } else {
              const known = await pool.settings.read(each.account);
              const { account, what: _, ...change } = each;
              if (known !== null)
                await pool.settings.change(account, change, { actor: 'op', reason: 'test' });
            }
          }
          await pool.ship();
          await pool.payExpected();
          const verdicts = await pool.verify();
          expect(verdicts.filter(({ status }) => status !== 'equal')).toEqual([]);
          credits += verdicts.length;
          longWindows += (await pool.credits()).filter(
            ({ inputs }) => inputs.workInWindow !== undefined && inputs.workInWindow === inputs.windowWork,
          ).length;
        } finally {
          await pool.close();
        }
      }),
      { seed: 20261121, numRuns: Number(process.env.VERIFY_POOLS ?? 5), endOnFailure: true },
    );
    // The far edge was crossed, too.
    expect(credits).toBeGreaterThan(25);
    expect(longWindows).toBeGreaterThan(5);
  });
});
